// `typescript2_keys.mjs URL MODE ISSUER CLIENT KEY ALGORITHM CALLS [DPOP]`: come in with a key, and
// call, with the TypeScript SDK 2.x. KEY is a file with PEM or a JWK; DPOP the algorithm of proofs.

import { readFileSync } from 'node:fs';
import {
  Client,
  DpopSession,
  PrivateKeyJwtProvider,
  StreamableHTTPClientTransport,
} from '@modelcontextprotocol/client';

const [url, mode, issuer, clientId, file, algorithm, calls, dpop] = process.argv.slice(2);
const text = readFileSync(file, 'utf8');
const privateKey = text.startsWith('{') ? JSON.parse(text) : text;
const provider = new PrivateKeyJwtProvider({ clientId, privateKey, algorithm, expectedIssuer: issuer });
const tokens = [];
const save = provider.saveTokens.bind(provider);
provider.saveTokens = (got) => {
  tokens.push([got.token_type, got.scope]);
  return save(got);
};
if (dpop) {
  const session = await DpopSession.create({ alg: dpop });
  provider.dpop = () => session;
}
const versionNegotiation = mode === 'auto' ? { mode: 'auto' } : undefined;
const client = new Client({ name: 'visit', version: '1' }, { versionNegotiation });
await client.connect(new StreamableHTTPClientTransport(new URL(url), { authProvider: provider }));
const tools = (await client.listTools()).tools.map((tool) => tool.name).sort();
const said = [];
for (const [name, args] of JSON.parse(calls)) {
  if (name === 'wait') {
    await new Promise((resolve) => setTimeout(resolve, args * 1000));
    continue;
  }
  try {
    if (name === 'subscribe') {
      if (mode === 'auto') await (await client.listen({ resourceSubscriptions: [args] })).close();
      else await client.subscribeResource({ uri: args });
      said.push('subscribed');
      continue;
    }
    const result = await client.callTool({ name, arguments: args });
    said.push(result.content.map((part) => part.text ?? '').join(''));
  } catch (problem) {
    said.push(problem.code);
  }
}
const revision = client.getNegotiatedProtocolVersion();
await client.close();
console.log(JSON.stringify({ revision, tools, said, tokens }));
