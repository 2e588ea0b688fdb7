// A provider for the TypeScript SDKs whose person is a program, and where the browser comes back to.

import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { once } from 'node:events';

export async function browsed(browser, name) {
  let heard;
  const back = new Promise((resolve) => (heard = resolve));
  const server = createServer((request, response) => {
    response.end('This page may be closed.');
    heard(new URL(request.url, 'http://localhost').searchParams);
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const redirectUrl = `http://127.0.0.1:${server.address().port}/callback`;
  const kept = {};
  const tokens = [];
  const provider = {
    redirectUrl,
    clientMetadata: {
      client_name: name,
      redirect_uris: [redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    },
    state: () => 'the state of a test',
    clientInformation: () => kept.client,
    saveClientInformation: (client) => void (kept.client = client),
    tokens: () => kept.tokens,
    saveTokens: (got) => {
      tokens.push([got.token_type, got.scope, Boolean(got.refresh_token)]);
      kept.tokens = got;
    },
    codeVerifier: () => kept.verifier,
    saveCodeVerifier: (verifier) => void (kept.verifier = verifier),
    saveDiscoveryState: (state) => void (kept.discovery = state),
    discoveryState: () => kept.discovery,
    redirectToAuthorization: (url) => void spawn(browser, [String(url)], { stdio: 'inherit' }),
  };
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { provider, back, tokens, close };
}

export async function visited(client, calls) {
  const tools = (await client.listTools()).tools.map((tool) => tool.name).sort();
  const said = [];
  for (const [name, args] of JSON.parse(calls)) {
    if (name === 'wait') {
      await new Promise((resolve) => setTimeout(resolve, args * 1000));
      continue;
    }
    try {
      const result = await client.callTool({ name, arguments: args });
      said.push(result.content.map((part) => part.text ?? '').join(''));
    } catch (problem) {
      said.push(problem.code);
    }
  }
  return { tools, said };
}
