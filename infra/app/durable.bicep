// Durable Task Scheduler as the backend of Durable Entities, billed per action.
param name string
param location string
param tags object

var hostSettings = loadJsonContent('../../host.json')

resource scheduler 'Microsoft.DurableTask/schedulers@2025-11-01' = {
  name: name
  location: location
  tags: tags
  properties: {
    sku: { name: 'Consumption' }
    ipAllowlist: ['0.0.0.0/0'] // who may is decided by role; a Flex app has no fixed address
  }
}

resource hub 'Microsoft.DurableTask/schedulers/taskHubs@2025-11-01' = {
  parent: scheduler
  name: hostSettings.extensions.durableTask.hubName
  properties: {}
}

output name string = scheduler.name
output endpoint string = scheduler.properties.endpoint
output hubName string = hub.name
