// A Foundry account with one project and one model deployment. Keys are off: the app's identity has roles on it.
param name string
param location string
param tags object
param projectName string
param modelName string
param modelVersion string
param modelSku string
param capacity int
param publicAccess bool

resource account 'Microsoft.CognitiveServices/accounts@2025-06-01' = {
  name: name
  location: location
  tags: tags
  kind: 'AIServices'
  sku: { name: 'S0' }
  identity: { type: 'SystemAssigned' }
  properties: {
    allowProjectManagement: true
    customSubDomainName: name // sign-in by token needs an address of its own
    disableLocalAuth: true
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
    networkAcls: { defaultAction: publicAccess ? 'Allow' : 'Deny' }
  }
}

resource project 'Microsoft.CognitiveServices/accounts/projects@2025-06-01' = {
  parent: account
  name: projectName
  location: location
  tags: tags
  identity: { type: 'SystemAssigned' }
  properties: { displayName: projectName }
}

resource deployment 'Microsoft.CognitiveServices/accounts/deployments@2025-06-01' = {
  parent: account
  name: modelName
  sku: { name: modelSku, capacity: capacity }
  properties: {
    model: { format: 'OpenAI', name: modelName, version: modelVersion }
    versionUpgradeOption: 'NoAutoUpgrade' // a model that changes by itself changes answers and prices unnoticed
  }
  dependsOn: [project] // the account takes one change at a time
}

output id string = account.id
output name string = account.name
output endpoint string = 'https://${account.properties.customSubDomainName}.openai.azure.com'
output projectEndpoint string = 'https://${account.properties.customSubDomainName}.services.ai.azure.com/api/projects/${project.name}'
output deploymentName string = deployment.name
