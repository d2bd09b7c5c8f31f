// What POST scaling/apply needs: to read and write this one app, and nothing else. Deployed only where it is wanted: an
// identity that may write its own app may also change its settings and code.
param functionAppName string
param principalId string
param groupId string

resource app 'Microsoft.Web/sites@2024-04-01' existing = {
  name: functionAppName
}

resource role 'Microsoft.Authorization/roleDefinitions@2022-04-01' = {
  name: guid(groupId, 'agent-lifecycle-scaling')
  properties: {
    roleName: 'Agent lifecycle scaling (${functionAppName})'
    description: 'Reads and writes a Function App, to change how it scales.'
    type: 'CustomRole'
    permissions: [{ actions: ['Microsoft.Web/sites/read', 'Microsoft.Web/sites/write', 'Microsoft.Web/sites/operationresults/read'] }]
    assignableScopes: [groupId]
  }
}

resource onApp 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(app.id, principalId, role.id)
  scope: app
  properties: {
    roleDefinitionId: role.id
    principalId: principalId
    principalType: 'ServicePrincipal'
    description: 'POST scaling/apply changes how this app scales.'
  }
}
