// The function app on a Flex Consumption plan: how it scales, what it is told, who may call it.
param name string
param planName string
param location string
param tags object
param identityName string
param storageName string
param packageContainerName string
param componentName string
param serviceBusHost string
param subnetId string
param instanceMemoryMB int
param maximumInstanceCount int
param alwaysReadyInstances int
param alwaysReadyPriorityInstances int
param environmentName string
param queueName string
param priorityQueueName string
param lowQueueName string
param maxAttempts int
param leaseSeconds int
param modelEndpoint string
param projectEndpoint string
param schedulerEndpoint string
param authMode string
param entraClientId string
param workspaceClaim string
param eventsExported bool
param scalingApply bool
param settingOverrides object

// Groups that scale by themselves, and how many instances of each stay warm.
var alwaysReady = [
  { name: 'http', instanceCount: alwaysReadyInstances } // callers wait for it
  { name: 'function:run_agent', instanceCount: alwaysReadyInstances } // every answer passes through it …
  { name: 'function:run_agent_priority', instanceCount: alwaysReadyPriorityInstances } // … or this one
  // Durable stays at zero: signals are not on the way of an answer, but for an agent's first use, whose run waits for
  // PROVISION_WAIT_S and is delivered again if that was too short. Timers are in no hurry either.
]

// A request that waits for its answer, or follows events, idles for up to 25 s: an async worker holds 32 of them easily,
// while the default of 1 for Python would start an instance for each.
var httpConcurrency = 32

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' existing = {
  name: identityName
}

resource storage 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: storageName
}

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

var platformSettings = {
  AzureWebJobsStorage__accountName: storage.name
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identity.properties.clientId
  ServiceBusConnection__credential: 'managedidentity'
  ServiceBusConnection__clientId: identity.properties.clientId
  AZURE_CLIENT_ID: identity.properties.clientId // which identity DefaultAzureCredential takes in the app's own code
  APPLICATIONINSIGHTS_CONNECTION_STRING: component.properties.ConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identity.properties.clientId};Authorization=AAD'
}

// Without the package the worker would log an error at every start, so the setting follows requirements.txt.
var telemetrySettings = eventsExported ? { PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY: 'true' } : {}

// App Service authentication then serves the metadata by which MCP clients find where to sign in, and names it in its 401.
var signInSettings = authMode == 'entra' ? { WEBSITE_AUTH_PRM_DEFAULT_WITH_SCOPES: 'api://${entraClientId}/user_impersonation' } : {}

// host.json says Azure Storage; these win over it inside the app. docs/deploy.md says why host.json has to follow.
var schedulerSettings = empty(schedulerEndpoint)
  ? {}
  : {
      DURABLE_TASK_SCHEDULER_CONNECTION_STRING: 'Endpoint=${schedulerEndpoint};Authentication=ManagedIdentity;ClientID=${identity.properties.clientId}'
      AzureFunctionsJobHost__extensions__durableTask__storageProvider__type: 'azureManaged'
      AzureFunctionsJobHost__extensions__durableTask__storageProvider__connectionStringName: 'DURABLE_TASK_SCHEDULER_CONNECTION_STRING'
    }

// What kernel/settings.py reads and must not guess. Everything else has its default, and docs/configuration.md.
var appSettings = {
  TablesConnection__endpoint: storage.properties.primaryEndpoints.table
  BLOB_ENDPOINT: storage.properties.primaryEndpoints.blob
  ServiceBusConnection__fullyQualifiedNamespace: serviceBusHost
  RUN_QUEUE: queueName
  RUN_QUEUE_PRIORITY: priorityQueueName
  RUN_QUEUE_LOW: lowQueueName
  RUN_MAX_ATTEMPTS: string(maxAttempts)
  RUN_LEASE_S: string(leaseSeconds)
  REGISTRY_OWNER: 'agent-lifecycle-${environmentName}' // two environments that share a provider must not share agents
  AUTH_MODE: authMode
  SCALING_SITE: scalingApply ? resourceId('Microsoft.Web/sites', name) : ''
  SCALING_APPLY: scalingApply ? 'true' : 'false'
  WORKSPACE_CLAIM: workspaceClaim
  AZURE_OPENAI_ENDPOINT: modelEndpoint // empty: none
  FOUNDRY_PROJECT_ENDPOINT: projectEndpoint // empty: none
  // The host resolves %NAME% in bindings from app settings only; the defaults in the code are not seen by it.
  PRUNE_SCHEDULE: '0 */15 * * * *'
  VERIFY_SCHEDULE: '0 10,40 * * * *'
  AGGREGATION_SCHEDULE: '35 * * * * *'
  REPORT_SCHEDULE: '0 */5 * * * *'
  CONFIGURATION_SCHEDULE: '50 * * * * *'
  DRIFT_SCHEDULE: '0 23 * * * *'
  SESSION_EXPIRY_SCHEDULE: '30 */5 * * * *'
  DEAD_LETTER_SCHEDULE: '15 * * * * *'
  EVALUATION_SCHEDULE: '45 * * * * *'
  EVENTS_SCHEDULE: '0 20 * * * *'
  BUDGET_SCHEDULE: '20 * * * * *'
  ALERT_SCHEDULE: '45 * * * * *'
  LOADER_SCHEDULE: '0 4-59/10 * * * *'
  PLANNED_RUNS_SCHEDULE: '1 * * * * *'
  NOTIFY_SCHEDULE: '55 * * * * *'
}

resource plan 'Microsoft.Web/serverfarms@2024-04-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource app 'Microsoft.Web/sites@2024-04-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'api' })
  kind: 'functionapp,linux'
  identity: {
    type: 'UserAssigned'
    userAssignedIdentities: { '${identity.id}': {} }
  }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identity.id // who reads settings of the form @Microsoft.KeyVault(…)
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    siteConfig: {
      minTlsVersion: '1.2'
    }
    functionAppConfig: {
      runtime: { name: 'python', version: '3.13' }
      deployment: {
        storage: {
          type: 'blobContainer'
          value: '${storage.properties.primaryEndpoints.blob}${packageContainerName}'
          authentication: {
            type: 'UserAssignedIdentity'
            userAssignedIdentityResourceId: identity.id
          }
        }
      }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: maximumInstanceCount
        alwaysReady: filter(alwaysReady, group => group.instanceCount > 0)
        triggers: { http: { perInstanceConcurrency: httpConcurrency } }
      }
    }
  }

  resource settings 'config' = {
    name: 'appsettings'
    properties: union(
      platformSettings,
      telemetrySettings,
      schedulerSettings,
      signInSettings,
      appSettings,
      settingOverrides
    )
  }

  resource ftp 'basicPublishingCredentialsPolicies' = {
    name: 'ftp'
    properties: { allow: false }
  }

  resource scm 'basicPublishingCredentialsPolicies' = {
    name: 'scm'
    properties: { allow: false } // azd and func publish with a token
  }

  // With AUTH_MODE entra the app trusts the principal that this puts in front of it, so the two are set together.
  resource auth 'config' = if (authMode == 'entra') {
    name: 'authsettingsV2'
    properties: {
      platform: { enabled: true }
      globalValidation: {
        requireAuthentication: true
        unauthenticatedClientAction: 'Return401'
        excludedPaths: ['/api/health', '/api/openapi.json', '/api/docs', '/api/app', '/api/app/*', '/api/approval-links/*'] // anonymous with keys, too
      }
      httpSettings: { requireHttps: true }
      login: { tokenStore: { enabled: false } } // callers bring a token; the web app's session is a cookie and needs no stored tokens
      identityProviders: {
        azureActiveDirectory: {
          enabled: true
          registration: {
            clientId: entraClientId
            openIdIssuer: '${environment().authentication.loginEndpoint}${tenant().tenantId}/v2.0'
          }
          validation: { allowedAudiences: [entraClientId, 'api://${entraClientId}'] }
        }
      }
    }
  }
}

output name string = app.name
output url string = 'https://${app.properties.defaultHostName}'
