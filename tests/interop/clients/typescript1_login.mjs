// `typescript1_login.mjs URL MODE BROWSER CALLS`: the same with the SDK 1.x.

import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { browsed, visited } from './browsed.mjs';

const [url, , browser, calls] = process.argv.slice(2);
const { provider, back, tokens, close } = await browsed(browser, 'TypeScript visit');
const made = () => new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
const first = made();
let client = new Client({ name: 'visit', version: '1' });
let transport = first;
try {
  await client.connect(first);
} catch (problem) {
  if (!(problem instanceof UnauthorizedError)) throw problem;
  await first.finishAuth((await back).get('code'));
  client = new Client({ name: 'visit', version: '1' });
  transport = made();
  await client.connect(transport);
}
const { tools, said } = await visited(client, calls);
const revision = transport.protocolVersion;
await transport.terminateSession();
await client.close();
close();
console.log(JSON.stringify({ revision, tools, said, tokens }));
