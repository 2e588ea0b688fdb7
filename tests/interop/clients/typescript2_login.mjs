// `typescript2_login.mjs URL MODE BROWSER CALLS [DPOP]`: have a person log in, and call, with the
// TypeScript SDK 2.x. BROWSER is a program that is given the URL to open; DPOP the algorithm of proofs.

import {
  Client,
  DpopSession,
  StreamableHTTPClientTransport,
  UnauthorizedError,
} from '@modelcontextprotocol/client';
import { browsed, visited } from './browsed.mjs';

const [url, mode, browser, calls, dpop] = process.argv.slice(2);
const { provider, back, tokens, close } = await browsed(browser, 'TypeScript visit');
if (dpop) {
  const session = await DpopSession.create({ alg: dpop });
  provider.dpop = () => session;
}
const versionNegotiation = mode === 'auto' ? { mode: 'auto' } : undefined;
const made = () => new StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
const visitor = () => new Client({ name: 'visit', version: '1' }, { versionNegotiation });
const first = made();
let client = visitor();
try {
  await client.connect(first);
} catch (problem) {
  if (!(problem instanceof UnauthorizedError)) throw problem;
  await first.finishAuth(await back);
  client = visitor();
  await client.connect(made());
}
const { tools, said } = await visited(client, calls);
const revision = client.getNegotiatedProtocolVersion();
await client.close();
close();
console.log(JSON.stringify({ revision, tools, said, tokens }));
