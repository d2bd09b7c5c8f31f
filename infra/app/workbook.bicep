// One page to look at first: what ran, what failed, what waits.
param location string
param tags object
param workspaceId string
param serviceBusId string

var page = replace(
  replace(loadTextContent('workbook.json'), '__WORKSPACE_ID__', workspaceId),
  '__SERVICE_BUS_ID__',
  serviceBusId
)

resource workbook 'Microsoft.Insights/workbooks@2022-04-01' = {
  name: guid(resourceGroup().id, 'agents')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Agents'
    category: 'workbook'
    sourceId: workspaceId
    serializedData: page
  }
}

output id string = workbook.id
