#!/bin/sh
# Makes the configuration of Microsoft's Service Bus emulator from the topology of ours, before the containers start.
# Two things differ: it keeps messages for an hour at most, and wants to be told where to log.
set -eu
cd "$(dirname "$0")"
sed -e 's/"DefaultMessageTimeToLive": "[^"]*"/"DefaultMessageTimeToLive": "PT1H"/' \
    -e 's/"UserConfig": {/"UserConfig": { "Logging": { "Type": "File" },/' \
    ../devhost/servicebus/topology.json >servicebus.json
