// `typescript1_keys.mjs URL MODE ISSUER CLIENT KEY ALGORITHM CALLS`: the same with the SDK 1.x.

import { readFileSync } from 'node:fs';
import { PrivateKeyJwtProvider } from '@modelcontextprotocol/sdk/client/auth-extensions.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [url, , issuer, clientId, file, algorithm, calls] = process.argv.slice(2);
const text = readFileSync(file, 'utf8');
const privateKey = text.startsWith('{') ? JSON.parse(text) : text;
const provider = new PrivateKeyJwtProvider({ clientId, privateKey, algorithm, expectedIssuer: issuer });
const tokens = [];
const save = provider.saveTokens.bind(provider);
provider.saveTokens = (got) => {
  tokens.push([got.token_type, got.scope]);
  return save(got);
};
const client = new Client({ name: 'visit', version: '1' });
const transport = new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
await client.connect(transport);
const tools = (await client.listTools()).tools.map((tool) => tool.name).sort();
const said = [];
for (const [name, args] of JSON.parse(calls)) {
  if (name === 'wait') {
    await new Promise((resolve) => setTimeout(resolve, args * 1000));
    continue;
  }
  try {
    if (name === 'subscribe') {
      await client.subscribeResource({ uri: args });
      said.push('subscribed');
      continue;
    }
    const result = await client.callTool({ name, arguments: args });
    said.push(result.content.map((part) => part.text ?? '').join(''));
  } catch (problem) {
    said.push(problem.code);
  }
}
const revision = transport.protocolVersion;
await transport.terminateSession();
await client.close();
console.log(JSON.stringify({ revision, tools, said, tokens }));
