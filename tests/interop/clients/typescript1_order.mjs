// `typescript1_order.mjs`: what the TypeScript SDK 1.x hears of progress that comes with the answer.
//
// Nothing is between the client and the answers but the SDK's own memory. Prints one JSON object: the
// steps that were heard of two that came at once with the answer, and of two that came one by one.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js';
import { oneByOne } from './tour.mjs';

const RESULTS = {
  initialize: { protocolVersion: '2025-11-25', capabilities: {}, serverInfo: { name: 'x', version: '1' } },
  'tools/call': { content: [] },
};

async function heard(prepare) {
  const client = new Client({ name: 'order', version: '1' });
  const [near, far] = InMemoryTransport.createLinkedPair();
  far.onmessage = ({ id, method, params }) => {
    if (id === undefined) return;
    for (const progress of method === 'tools/call' ? [1, 2] : []) {
      const { progressToken } = params._meta;
      far.send({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken, progress } });
    }
    far.send({ jsonrpc: '2.0', id, result: RESULTS[method] });
  };
  await far.start();
  await client.connect(near);
  prepare(near);
  const steps = [];
  await client.callTool({ name: 'x' }, undefined, { onprogress: ({ progress }) => void steps.push(progress) });
  await client.close();
  return steps;
}

console.log(JSON.stringify({ 'at once': await heard(() => {}), 'one by one': await heard(oneByOne) }));
