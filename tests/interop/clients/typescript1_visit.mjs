// `typescript1_visit.mjs URL CALLS`: list a server's tools and call some, with the TypeScript SDK 1.x.
// CALLS and what is printed are as in python2_visit.py.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [url, calls] = process.argv.slice(2);
const client = new Client({ name: 'visit', version: '1' });
const transport = new StreamableHTTPClientTransport(new URL(url));
await client.connect(transport);

const tools = (await client.listTools()).tools.map((tool) => tool.name).sort();
const said = [];
let progress = 0;
for (const [name, args] of JSON.parse(calls)) {
  const options = { onprogress: () => void (progress += 1) };
  const result = await client.callTool({ name, arguments: args }, undefined, options);
  said.push(result.content.map((part) => part.text ?? '').join(''));
}
const revision = transport.protocolVersion;
await transport.terminateSession();
await client.close();
console.log(JSON.stringify({ revision, tools, progress, said }));
