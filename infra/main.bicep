// Everything one environment of the app needs, in a resource group of its own.
// Plain resources at known API versions, no registry modules: what is deployed is what stands in this folder.
targetScope = 'subscription'

@minLength(1)
@maxLength(40)
@description('Name of the environment; azd asks for it. Part of every generated name, and the tag azd finds resources by.')
param environmentName string

@minLength(1)
@description('Region of every resource. Must offer Flex Consumption: az functionapp list-flexconsumption-locations.')
@metadata({ azd: { type: 'location' } })
param location string

@allowed([512, 2048, 4096])
@description('Memory of one instance. 2048: a worker with its SDKs loaded holds about 300 MB, and 32 runs at a time hold their histories beside it.')
param instanceMemoryMB int = 2048

@minValue(40)
@maxValue(1000)
@description('Most instances of one group of functions. The model\'s quota is usually the narrower limit; 40 is the least that the plan takes.')
param maximumInstanceCount int = 40

@minValue(0)
@maxValue(20)
@description('Instances kept warm for HTTP and as many for the queue. 0 is right for a trial; 1 takes the cold start (seconds) out of the first answer.')
param alwaysReadyInstances int = 0

@minValue(0)
@maxValue(20)
@description('Instances kept warm for the queue of high priority. Where it is used, 1 or more: without one, a run there may wait for a cold start that a run of normal priority does not.')
param alwaysReadyPriorityInstances int = 0

@allowed(['Standard_LRS', 'Standard_ZRS', 'Standard_GRS', 'Standard_GZRS'])
@description('Replication of the storage account. ZRS survives the loss of a zone, GRS and GZRS that of the region.')
param storageSku string = 'Standard_LRS'

@allowed(['Standard', 'Premium'])
@description('Tier of Service Bus. Sessions need Standard; private endpoints need Premium, which is used whenever privateNetworking is on.')
param serviceBusSku string = 'Standard'

@allowed(['AzureStorage', 'DurableTaskScheduler'])
@description('Where Durable Entities keep their state. DurableTaskScheduler also needs the change of host.json that docs/deploy.md shows.')
param durableBackend string = 'AzureStorage'

@description('Whether POST scaling/apply may change how the app scales; gives its identity a role on the app itself for that.')
param scalingApply bool = false

@description('Whether storage, Service Bus and a created model are reached over private endpoints only.')
param privateNetworking bool = false

@description('Whether to make a Foundry account with a project and one model deployment.')
param createModel bool = false

@description('Model to deploy when createModel is on; also the deployment\'s name, and so `model` in an agent\'s spec.')
param modelName string = 'gpt-5-mini'

@description('Version of that model.')
param modelVersion string = '2025-08-07'

@description('How the deployment is billed and where it may be processed.')
param modelSku string = 'GlobalStandard'

@minValue(1)
@description('Quota of the deployment, in thousands of tokens per minute.')
param modelCapacity int = 50

@description('Azure OpenAI or Foundry endpoint to use instead of creating one, like https://NAME.openai.azure.com. Grant the identity Cognitive Services OpenAI User there.')
param existingModelEndpoint string = ''

@description('Foundry project to use instead of creating one, like https://NAME.services.ai.azure.com/api/projects/PROJECT. Grant the identity Azure AI User there.')
param existingProjectEndpoint string = ''

@allowed(['keys', 'entra'])
@description('Who may call the API: holders of a function key, or users and apps that Microsoft Entra has signed in.')
param authMode string = 'keys'

@description('Application (client) id of the Entra app registration that callers ask tokens for. Needed when authMode is entra.')
param entraClientId string = ''

@description('With entra: the claim whose value is the caller\'s workspace.')
param workspaceClaim string = 'tid'

@description('Where alerts are mailed. Empty: they are shown in the portal only.')
param alertEmail string = ''

@minValue(30)
@maxValue(730)
@description('Days that logs and traces are kept; the first 30 are free.')
param logRetentionDays int = 30

@description('Most GB of logs a day; the rest of a day above it is dropped. -1 for no cap.')
param logDailyCapGb int = 2

@description('App settings to add or to set otherwise than here, by name. Secrets do not belong here: use Key Vault references.')
param settingOverrides object = {}

var abbreviations = loadJsonContent('abbreviations.json')
var token = toLower(uniqueString(subscription().id, environmentName, location))
var tags = { 'azd-env-name': environmentName }

// What the queue and the app must agree on is said once and handed to both.
var runs = {
  queue: 'agent-runs'
  priorityQueue: 'agent-runs-priority'
  lowQueue: 'agent-runs-low'
  maxAttempts: 5
  leaseSeconds: 60
}

// Prefix says what it is; the token makes it unique, and the same at every deployment.
var names = {
  functionApp: '${abbreviations.webSitesFunctions}${token}'
  storage: '${abbreviations.storageStorageAccounts}${token}'
  serviceBus: '${abbreviations.serviceBusNamespaces}${token}'
  identity: '${abbreviations.managedIdentityUserAssignedIdentities}${token}'
  model: '${abbreviations.cognitiveServicesAccounts}${token}'
}
var usesScheduler = durableBackend == 'DurableTaskScheduler'

// The worker sends its own telemetry, with the name of each event, once the package for it is part of the app.
var eventsExported = contains(loadTextContent('../requirements.txt'), 'azure-monitor-opentelemetry==')

resource group 'Microsoft.Resources/resourceGroups@2024-03-01' = {
  name: '${abbreviations.resourcesResourceGroups}${environmentName}'
  location: location
  tags: tags
}

module identity 'app/identity.bicep' = {
  name: 'identity'
  scope: group
  params: { name: names.identity, location: location, tags: tags }
}

module monitoring 'app/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    workspaceName: '${abbreviations.operationalInsightsWorkspaces}${token}'
    componentName: '${abbreviations.insightsComponents}${token}'
    location: location
    tags: tags
    retentionDays: logRetentionDays
    dailyCapGb: logDailyCapGb
  }
}

module storage 'app/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    name: names.storage
    location: location
    tags: tags
    sku: storageSku
    publicAccess: !privateNetworking
  }
}

module serviceBus 'app/servicebus.bicep' = {
  name: 'servicebus'
  scope: group
  params: {
    name: names.serviceBus
    location: location
    tags: tags
    sku: privateNetworking ? 'Premium' : serviceBusSku
    publicAccess: !privateNetworking
    queueNames: [runs.queue, runs.priorityQueue, runs.lowQueue]
    maxDeliveryCount: runs.maxAttempts
    lockSeconds: runs.leaseSeconds
  }
}

module model 'app/model.bicep' = if (createModel) {
  name: 'model'
  scope: group
  params: {
    name: names.model
    location: location
    tags: tags
    projectName: 'agents'
    modelName: modelName
    modelVersion: modelVersion
    modelSku: modelSku
    capacity: modelCapacity
    publicAccess: !privateNetworking
  }
}

module durable 'app/durable.bicep' = if (usesScheduler) {
  name: 'durable'
  scope: group
  params: {
    name: '${abbreviations.durableTaskSchedulers}${token}'
    location: location
    tags: tags
  }
}

module network 'app/network.bicep' = if (privateNetworking) {
  name: 'network'
  scope: group
  params: {
    name: '${abbreviations.networkVirtualNetworks}${token}'
    endpointPrefix: abbreviations.networkPrivateEndpoints
    location: location
    tags: tags
    storageId: storage.outputs.id
    serviceBusId: serviceBus.outputs.id
    modelId: createModel ? model!.outputs.id : ''
  }
}

module roles 'app/roles.bicep' = {
  name: 'roles'
  scope: group
  params: {
    principalId: identity.outputs.principalId
    storageName: storage.outputs.name
    serviceBusName: serviceBus.outputs.name
    queueName: runs.queue
    priorityQueueName: runs.priorityQueue
    lowQueueName: runs.lowQueue
    componentName: monitoring.outputs.componentName
    modelName: createModel ? model!.outputs.name : ''
    schedulerName: usesScheduler ? durable!.outputs.name : ''
  }
}

module functions 'app/functions.bicep' = {
  name: 'functions'
  scope: group
  params: {
    name: names.functionApp
    planName: '${abbreviations.webServerFarms}${token}'
    location: location
    tags: tags
    identityName: identity.outputs.name
    storageName: storage.outputs.name
    packageContainerName: storage.outputs.packageContainerName
    componentName: monitoring.outputs.componentName
    serviceBusHost: serviceBus.outputs.host
    subnetId: privateNetworking ? network!.outputs.appSubnetId : ''
    instanceMemoryMB: instanceMemoryMB
    maximumInstanceCount: maximumInstanceCount
    alwaysReadyInstances: alwaysReadyInstances
    alwaysReadyPriorityInstances: alwaysReadyPriorityInstances
    environmentName: environmentName
    queueName: runs.queue
    priorityQueueName: runs.priorityQueue
    lowQueueName: runs.lowQueue
    maxAttempts: runs.maxAttempts
    leaseSeconds: runs.leaseSeconds
    modelEndpoint: createModel ? model!.outputs.endpoint : existingModelEndpoint
    projectEndpoint: createModel ? model!.outputs.projectEndpoint : existingProjectEndpoint
    schedulerEndpoint: usesScheduler ? durable!.outputs.endpoint : ''
    authMode: authMode
    entraClientId: entraClientId
    workspaceClaim: workspaceClaim
    eventsExported: eventsExported
    scalingApply: scalingApply
    settingOverrides: settingOverrides
  }
  dependsOn: [roles] // the host reads its keys and package with the identity as soon as it exists
}

module scaling 'app/scaling.bicep' = if (scalingApply) {
  name: 'scaling'
  scope: group
  params: { functionAppName: functions.outputs.name, principalId: identity.outputs.principalId, groupId: group.id }
}

module alerts 'app/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    location: location
    tags: tags
    actionGroupName: '${abbreviations.insightsActionGroups}${token}'
    email: alertEmail
    workspaceId: monitoring.outputs.workspaceId
    storageId: storage.outputs.id
    serviceBusId: serviceBus.outputs.id
    queueNames: [runs.queue, runs.priorityQueue, runs.lowQueue]
    eventsExported: eventsExported
  }
}

module workbook 'app/workbook.bicep' = {
  name: 'workbook'
  scope: group
  params: { location: location, tags: tags, workspaceId: monitoring.outputs.workspaceId, serviceBusId: serviceBus.outputs.id }
}

@description('Region, as azd expects it.')
output AZURE_LOCATION string = location
@description('Tenant of the subscription.')
output AZURE_TENANT_ID string = tenant().tenantId
@description('Resource group of this environment.')
output AZURE_RESOURCE_GROUP string = group.name
@description('The function app.')
output AZURE_FUNCTION_NAME string = functions.outputs.name
@description('Base URL of the API.')
output API_URL string = '${functions.outputs.url}/api'
@description('Service Bus namespace, for producers.')
output SERVICE_BUS_NAMESPACE string = serviceBus.outputs.host
@description('The queue that producers send to.')
output RUN_QUEUE string = runs.queue
@description('The queue that producers send runs of high priority to.')
output RUN_QUEUE_PRIORITY string = runs.priorityQueue
@description('The queue of runs of low priority.')
output RUN_QUEUE_LOW string = runs.lowQueue
@description('Storage account with the tables.')
output STORAGE_ACCOUNT_NAME string = storage.outputs.name
@description('Application Insights resource.')
output APPLICATION_INSIGHTS_NAME string = monitoring.outputs.componentName
@description('Client id of the app\'s identity, to grant it access elsewhere.')
output APP_IDENTITY_CLIENT_ID string = identity.outputs.clientId
@description('Endpoint of the models, made or given; empty when there is none.')
output AZURE_OPENAI_ENDPOINT string = createModel ? model!.outputs.endpoint : existingModelEndpoint
@description('Foundry project, made or given; empty when there is none.')
output FOUNDRY_PROJECT_ENDPOINT string = createModel ? model!.outputs.projectEndpoint : existingProjectEndpoint
