// When somebody is to be told. A rule stands here only if the platform or the code emits its signal today;
// docs/operations.md says what each means and what to do, and which rules come with later features.
param location string
param tags object
param actionGroupName string
param email string
param workspaceId string
param storageId string
param serviceBusId string
param queueNames array
param eventsExported bool

// From events that the worker sends with its logs: extra={"event": …} in the code.
var eventRules = [
  {
    name: 'excessive-creation'
    says: 'More agents were created than re-use explains. Look for specs that change with every request.'
    query: loadTextContent('queries/excessive_creation.kql')
    window: 'PT15M'
    operator: 'GreaterThan'
    threshold: 50
    severity: 2
  }
  {
    name: 'leaked-agents'
    says: 'In a day, many more agents were created than removed. Compare the registry with the provider.'
    query: loadTextContent('queries/leaks.kql')
    window: 'P1D'
    operator: 'GreaterThan'
    threshold: 200
    severity: 2
  }
  {
    name: 'cleanup-failures'
    says: 'A provider refuses to create or remove agents, or operations on agents are lost.'
    query: loadTextContent('queries/provider_failures.kql')
    window: 'PT15M'
    operator: 'GreaterThan'
    threshold: 5
    severity: 2
  }
  {
    name: 'defects'
    says: 'The app met exceptions that it does not know. Each names file and line in the log.'
    query: loadTextContent('queries/defects.kql')
    window: 'PT15M'
    operator: 'GreaterThan'
    threshold: 0
    severity: 2
  }
  {
    name: 'budget-blocked'
    says: 'Runs wait because a budget does not let them go on. Raise it, or look what spends it: GET usage.'
    query: loadTextContent('queries/budget_blocked.kql')
    window: 'PT15M'
    operator: 'GreaterThan'
    threshold: 0
    severity: 2
  }
]

// From the requests that the Functions host records by itself.
var requestRules = [
  {
    name: 'error-rate'
    says: 'More than a fifth of the deliveries of runs fail.'
    query: loadTextContent('queries/error_rate.kql')
    window: 'PT15M'
    operator: 'GreaterThan'
    threshold: 20
    severity: 1
  }
  {
    name: 'server-errors'
    says: 'The API answers with server errors.'
    query: loadTextContent('queries/server_errors.kql')
    window: 'PT15M'
    operator: 'GreaterThan'
    threshold: 10
    severity: 2
  }
  {
    name: 'prune-stopped'
    says: 'Idle agents are not retired any more: the timer has not succeeded for an hour.'
    query: loadTextContent('queries/prune_stopped.kql')
    window: 'PT1H'
    operator: 'LessThan'
    threshold: 1
    severity: 3
  }
]

// From metrics of the platform.
var metricRules = [
  {
    name: 'dead-letters'
    says: 'Messages were dead-lettered: runs that failed at every attempt, or messages that are none.'
    metric: 'DeadletteredMessages'
    operator: 'GreaterThan'
    threshold: 0
    window: 'PT5M'
    severity: 1
  }
  {
    name: 'queue-backlog'
    says: 'Runs wait in a queue faster than they are answered.'
    metric: 'ActiveMessages'
    operator: 'GreaterThan'
    threshold: 500
    window: 'PT15M'
    severity: 2
  }
]

resource actionGroup 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: actionGroupName
  location: 'global'
  tags: tags
  properties: {
    enabled: true
    groupShortName: 'agents'
    emailReceivers: empty(email)
      ? []
      : [{ name: 'operators', emailAddress: email, useCommonAlertSchema: true }]
  }
}

resource logAlerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [
  for rule in concat(requestRules, eventsExported ? eventRules : []): {
    name: rule.name
    location: location
    tags: tags
    properties: {
      displayName: rule.name
      description: rule.says
      severity: rule.severity
      enabled: true
      scopes: [workspaceId]
      evaluationFrequency: 'PT15M'
      windowSize: rule.window
      autoMitigate: true
      skipQueryValidation: true // the tables appear with the first telemetry, after this template
      criteria: {
        allOf: [
          {
            query: rule.query
            timeAggregation: 'Maximum'
            metricMeasureColumn: 'Value'
            operator: rule.operator
            threshold: rule.threshold
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      actions: { actionGroups: [actionGroup.id] }
    }
  }
]

resource queueAlerts 'Microsoft.Insights/metricAlerts@2018-03-01' = [
  for rule in metricRules: {
    name: rule.name
    location: 'global'
    tags: tags
    properties: {
      description: rule.says
      severity: rule.severity
      enabled: true
      scopes: [serviceBusId]
      evaluationFrequency: 'PT5M'
      windowSize: rule.window
      autoMitigate: true
      criteria: {
        'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
        allOf: [
          {
            criterionType: 'StaticThresholdCriterion'
            name: rule.name
            metricNamespace: 'Microsoft.ServiceBus/namespaces'
            metricName: rule.metric
            operator: rule.operator
            threshold: rule.threshold
            timeAggregation: 'Average'
            dimensions: [{ name: 'EntityName', operator: 'Include', values: queueNames }]
          }
        ]
      }
      actions: [{ actionGroupId: actionGroup.id }]
    }
  }
]

resource throttling 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'queue-throttled'
  location: 'global'
  tags: tags
  properties: {
    description: 'Service Bus refuses requests: the namespace is at the limit of its tier.'
    severity: 2
    enabled: true
    scopes: [serviceBusId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'throttled'
          metricNamespace: 'Microsoft.ServiceBus/namespaces'
          metricName: 'ThrottledRequests'
          operator: 'GreaterThan'
          threshold: 10
          timeAggregation: 'Total'
        }
      ]
    }
    actions: [{ actionGroupId: actionGroup.id }]
  }
}

resource availability 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: 'storage-availability'
  location: 'global'
  tags: tags
  properties: {
    description: 'The storage account answers fewer than 99 of 100 requests.'
    severity: 1
    enabled: true
    scopes: [storageId]
    evaluationFrequency: 'PT5M'
    windowSize: 'PT15M'
    autoMitigate: true
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'availability'
          metricNamespace: 'Microsoft.Storage/storageAccounts'
          metricName: 'Availability'
          operator: 'LessThan'
          threshold: 99
          timeAggregation: 'Average'
        }
      ]
    }
    actions: [{ actionGroupId: actionGroup.id }]
  }
}
