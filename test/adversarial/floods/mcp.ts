import { Lane, type Place } from './lane.js';
import { written, type Draft } from './draft.js';

const answer_ms_max = 30_000;

/** Begins a session of MCP with the gateway on a connection of its own, and gives its id. */
export async function beginSession(place: Place, token: string): Promise<string> {
  const lane = await Lane.open(place);
  try {
    return await beginOn(lane, token);
  } finally {
    lane.close();
  }
}

/** The same on this connection. */
export async function beginOn(lane: Lane, token: string): Promise<string> {
  const say = async (message: object, session?: string) => {
    lane.say(written(mcpRequest(token, 'POST', session, message)));
    const reply = await lane.next(answer_ms_max);
    if (reply === undefined || reply.status >= 300)
      throw new Error(`no session: ${String(reply?.status)} ${reply?.body ?? ''}`);
    return reply;
  };
  const clientInfo = { name: 'floods', version: '1' };
  const params = { protocolVersion: '2025-06-18', capabilities: {}, clientInfo };
  const { head } = await say({ jsonrpc: '2.0', id: 1, method: 'initialize', params });
  const session = /\r\nmcp-session-id: *([^\r]+)/i.exec(head)?.[1] ?? '';
  await say({ jsonrpc: '2.0', method: 'notifications/initialized' }, session);
  return session;
}

/** @param session Absent: none has begun. */
export function mcpRequest(token: string, method: string, session?: string, message?: object): Draft {
  const body = Buffer.from(message === undefined ? '' : JSON.stringify(message));
  return {
    ...{ method, target: '/mcp/tools', version: 'HTTP/1.1', body },
    fields: [
      ['Host', 'localhost'],
      ['Authorization', `Bearer ${token}`],
      ['Accept', method === 'GET' ? 'text/event-stream' : 'application/json, text/event-stream'],
      ...(message === undefined ? [] : [['Content-Type', 'application/json'] as const]),
      ...(session === undefined ? [] : [['Mcp-Session-Id', session] as const]),
    ],
  };
}
