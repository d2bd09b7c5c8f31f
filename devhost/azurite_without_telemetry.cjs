// Loaded before Azurite (`node --require`): an empty module stands in for Application Insights, of which Azurite uses
// nothing under --disableTelemetry, but which is three quarters of the modules it loads and half the time of its start.
'use strict';

const path = require('node:path');

const azurite = path.dirname(process.argv[1]);
const filename = require.resolve('applicationinsights', { paths: [azurite] });
require.cache[filename] = { id: filename, filename, exports: {}, loaded: true, children: [], paths: [] };
