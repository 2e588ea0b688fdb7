// `typescript1_again.mjs URL MODE`: the same as python2_again.py, with the TypeScript SDK 1.x.

import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { commandIn } from './tour.mjs';

const PATIENCE = 45_000; // milliseconds

const client = new Client({ name: 'again', version: '1' });
const transport = new StdioClientTransport(commandIn(process.argv[2]));
let revision;
transport.setProtocolVersion = (version) => { revision = version; };

async function ask(expression) {
  const result = await client.callTool({ name: 'calculate', arguments: { expression } });
  return result.structuredContent.value;
}

async function askUntilAnswered(expression) {
  const end = Date.now() + PATIENCE;
  for (;;) {
    try {
      return await ask(expression);
    } catch (error) {
      if (Date.now() > end) throw error;
      await sleep(300);
    }
  }
}

await client.connect(transport);
const first = await ask('6*7');
console.log('first');
await once(process.stdin, 'data');
const again = await askUntilAnswered('6*8');
await client.close();
console.log(JSON.stringify({ revision, answers: [first, again] }));
process.exit(0);
