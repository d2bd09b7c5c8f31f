"""The only importers of data SDKs: table storage, Service Bus and the agent providers, behind the seams of the core."""
