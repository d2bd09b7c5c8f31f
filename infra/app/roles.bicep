// What the app's identity may do: the whole of roles.json, each role on the one resource it is for, and nothing else.
param principalId string
param storageName string
param serviceBusName string
param queueName string
param priorityQueueName string
param lowQueueName string
param componentName string
param modelName string
param schedulerName string

var roles = loadJsonContent('roles.json')

resource storage 'Microsoft.Storage/storageAccounts@2024-01-01' existing = {
  name: storageName
}

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: serviceBusName
}

resource queue 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = {
  parent: namespace
  name: queueName
}

resource priorityQueue 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = {
  parent: namespace
  name: priorityQueueName
}

resource lowQueue 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = {
  parent: namespace
  name: lowQueueName
}

resource component 'Microsoft.Insights/components@2020-02-02' existing = {
  name: componentName
}

resource model 'Microsoft.CognitiveServices/accounts@2025-06-01' existing = {
  name: empty(modelName) ? 'none' : modelName
}

resource scheduler 'Microsoft.DurableTask/schedulers@2025-11-01' existing = {
  name: empty(schedulerName) ? 'none' : schedulerName
}

resource onStorage 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in filter(roles, item => item.on == 'storage'): {
    name: guid(storage.id, principalId, role.id)
    scope: storage
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role.id)
      principalId: principalId
      principalType: 'ServicePrincipal'
      description: role.why
    }
  }
]

resource onQueue 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in filter(roles, item => item.on == 'queue'): {
    name: guid(queue.id, principalId, role.id)
    scope: queue
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role.id)
      principalId: principalId
      principalType: 'ServicePrincipal'
      description: role.why
    }
  }
]

resource onPriorityQueue 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in filter(roles, item => item.on == 'priorityQueue'): {
    name: guid(priorityQueue.id, principalId, role.id)
    scope: priorityQueue
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role.id)
      principalId: principalId
      principalType: 'ServicePrincipal'
      description: role.why
    }
  }
]

resource onLowQueue 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in filter(roles, item => item.on == 'lowQueue'): {
    name: guid(lowQueue.id, principalId, role.id)
    scope: lowQueue
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role.id)
      principalId: principalId
      principalType: 'ServicePrincipal'
      description: role.why
    }
  }
]

resource onComponent 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in filter(roles, item => item.on == 'component'): {
    name: guid(component.id, principalId, role.id)
    scope: component
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role.id)
      principalId: principalId
      principalType: 'ServicePrincipal'
      description: role.why
    }
  }
]

resource onModel 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in filter(roles, item => item.on == 'model'): if (!empty(modelName)) {
    name: guid(model.id, principalId, role.id)
    scope: model
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role.id)
      principalId: principalId
      principalType: 'ServicePrincipal'
      description: role.why
    }
  }
]

resource onScheduler 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in filter(roles, item => item.on == 'scheduler'): if (!empty(schedulerName)) {
    name: guid(scheduler.id, principalId, role.id)
    scope: scheduler
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role.id)
      principalId: principalId
      principalType: 'ServicePrincipal'
      description: role.why
    }
  }
]
