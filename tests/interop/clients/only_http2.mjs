// For `node --import`: ends the program when its `fetch` connects to anything and HTTP/2 is not spoken.

import diagnostics from 'node:diagnostics_channel';

diagnostics.subscribe('undici:client:connected', ({ connectParams }) => {
  if (connectParams.version === 'h2') return;
  console.error(`connected to ${connectParams.host} with ${connectParams.version}`);
  process.exit(1);
});
