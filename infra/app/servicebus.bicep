// The queues of runs, one for each priority. Who is to send or receive is said by role; there are no keys.
param name string
param location string
param tags object
@allowed(['Standard', 'Premium'])
param sku string
param publicAccess bool
param queueNames array
param maxDeliveryCount int
param lockSeconds int

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: name
  location: location
  tags: tags
  sku: {
    name: sku
    tier: sku
    capacity: sku == 'Premium' ? 1 : null
  }
  properties: {
    disableLocalAuth: true
    minimumTlsVersion: '1.2'
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
  }
}

resource queues 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = [for queueName in queueNames: {
  parent: namespace
  name: queueName
  properties: {
    requiresSession: true // one conversation is one session: its runs are answered one at a time, in order
    maxDeliveryCount: maxDeliveryCount // RUN_MAX_ATTEMPTS: the run is failed on the delivery that is its last
    lockDuration: 'PT${lockSeconds}S' // RUN_LEASE_S: a dead worker loses message and run together; live ones renew
    deadLetteringOnMessageExpiration: true // a run that nobody took in time is listed, not gone
    defaultMessageTimeToLive: 'P14D'
    requiresDuplicateDetection: true // a producer that sends the same MessageId again is heard once
    duplicateDetectionHistoryTimeWindow: 'PT10M' // longer costs throughput; beyond it the run's row recognises it
    enablePartitioning: false
    maxSizeInMegabytes: 1024
  }
}]

output id string = namespace.id
output name string = namespace.name
output host string = '${namespace.name}.servicebus.windows.net'
