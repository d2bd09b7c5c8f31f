// A network of the app's own, with private endpoints to everything that holds data. Azure Monitor stays public.
param name string
param endpointPrefix string
param location string
param tags object
param storageId string
param serviceBusId string
param modelId string

var storageSuffix = environment().suffixes.storage
var endpoints = concat(
  [
    { name: 'blob', resourceId: storageId, zones: ['privatelink.blob.${storageSuffix}'] }
    { name: 'queue', resourceId: storageId, zones: ['privatelink.queue.${storageSuffix}'] }
    { name: 'table', resourceId: storageId, zones: ['privatelink.table.${storageSuffix}'] }
    { name: 'namespace', resourceId: serviceBusId, zones: ['privatelink.servicebus.windows.net'] }
  ],
  empty(modelId)
    ? []
    : [
        {
          name: 'account'
          resourceId: modelId
          zones: [
            'privatelink.openai.azure.com'
            'privatelink.cognitiveservices.azure.com'
            'privatelink.services.ai.azure.com'
          ]
        }
      ]
)
var zoneNames = flatten(map(endpoints, endpoint => endpoint.zones))

resource network 'Microsoft.Network/virtualNetworks@2024-05-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: ['10.0.0.0/16'] }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: '10.0.0.0/23' // one address per instance, and some while instances are replaced
          delegations: [{ name: 'flex', properties: { serviceName: 'Microsoft.App/environments' } }]
        }
      }
      {
        name: 'endpoints'
        properties: { addressPrefix: '10.0.2.0/24' }
      }
    ]
  }

  resource appSubnet 'subnets' existing = {
    name: 'app'
  }

  resource endpointSubnet 'subnets' existing = {
    name: 'endpoints'
  }
}

resource zones 'Microsoft.Network/privateDnsZones@2020-06-01' = [
  for zone in zoneNames: {
    name: zone
    location: 'global'
    tags: tags
  }
]

resource links 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2020-06-01' = [
  for (zone, index) in zoneNames: {
    parent: zones[index]
    name: name
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: { id: network.id }
    }
  }
]

resource privateEndpoints 'Microsoft.Network/privateEndpoints@2024-05-01' = [
  for endpoint in endpoints: {
    name: '${endpointPrefix}${endpoint.name}'
    location: location
    tags: tags
    properties: {
      subnet: { id: network::endpointSubnet.id }
      privateLinkServiceConnections: [
        {
          name: endpoint.name
          properties: {
            privateLinkServiceId: endpoint.resourceId
            groupIds: [endpoint.name]
          }
        }
      ]
    }
  }
]

resource zoneGroups 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-05-01' = [
  for (endpoint, index) in endpoints: {
    parent: privateEndpoints[index]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: map(endpoint.zones, zone => {
        name: replace(zone, '.', '-')
        properties: { privateDnsZoneId: resourceId('Microsoft.Network/privateDnsZones', zone) }
      })
    }
    dependsOn: [zones]
  }
]

output appSubnetId string = network::appSubnet.id
