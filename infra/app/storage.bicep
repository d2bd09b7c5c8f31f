// One account: the app's tables and long texts, the host's locks and keys (blob), the deployed package (blob), and, unless Durable
// Task Scheduler is used, the state of Durable Entities (blob, queue, table). No shared keys, no public blobs.
param name string
param location string
param tags object
param sku string
param publicAccess bool

var packageContainerName = 'app-package'
var textsContainerName = 'texts'
var recoverDays = 7

resource account 'Microsoft.Storage/storageAccounts@2024-01-01' = {
  name: name
  location: location
  tags: tags
  kind: 'StorageV2'
  sku: { name: sku }
  properties: {
    allowBlobPublicAccess: false
    allowSharedKeyAccess: false // tokens only: a leaked key cannot exist
    allowCrossTenantReplication: false
    defaultToOAuthAuthentication: true
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
    networkAcls: {
      defaultAction: publicAccess ? 'Allow' : 'Deny'
      bypass: 'None'
    }
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2024-01-01' = {
  parent: account
  name: 'default'
  properties: {
    deleteRetentionPolicy: { enabled: true, days: recoverDays }
    containerDeleteRetentionPolicy: { enabled: true, days: recoverDays }
  }
}

resource packages 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = {
  parent: blobs
  name: packageContainerName
  properties: { publicAccess: 'None' }
}

// Texts that are too long for a row; the app would make it, too.
resource texts 'Microsoft.Storage/storageAccounts/blobServices/containers@2024-01-01' = {
  parent: blobs
  name: textsContainerName
  properties: { publicAccess: 'None' }
}

resource tables 'Microsoft.Storage/storageAccounts/tableServices@2024-01-01' = {
  parent: account
  name: 'default'
}

// The app would make them at its first write; made here, it never has to. A test keeps the list and the code together.
resource appTables 'Microsoft.Storage/storageAccounts/tableServices/tables@2024-01-01' = [
  for table in loadJsonContent('tables.json'): {
    parent: tables
    name: table
  }
]

output id string = account.id
output name string = account.name
output packageContainerName string = packages.name
