/** One command to a Redis server, in the inline form of its protocol: enough to administer it. */
import { once } from 'node:events';
import { connect } from 'node:net';
import { ServerError } from './errors.ts';

const DEADLINE_MS = 15_000;

/**
 * Sends `command` (words without spaces) and resolves with the status line of the reply.
 * @throws ServerError where the server answers with an error, or not in time
 */
export async function redisCommand(
  port: number,
  password: string | undefined,
  command: string,
): Promise<string> {
  const lines = password === undefined ? [command] : [`AUTH ${password}`, command];
  const socket = connect({ port, host: '127.0.0.1' });
  socket.setEncoding('utf8').setNoDelay(true).setTimeout(DEADLINE_MS);
  socket.on('timeout', () => {
    socket.destroy(new ServerError(`redis-server did not answer ${command}`, ''));
  });
  try {
    await once(socket, 'connect');
    socket.write(lines.map((line) => `${line}\r\n`).join(''));
    let received = '';
    for await (const chunk of socket) {
      received += String(chunk);
      const replies = received.split('\r\n').slice(0, -1);
      const refused = replies.find((reply) => reply.startsWith('-'));
      if (refused !== undefined) throw new ServerError(`redis-server refused ${command}`, refused);
      const last = replies[lines.length - 1];
      if (last !== undefined) return last;
    }
    throw new ServerError(`redis-server closed the connection at ${command}`, received);
  } finally {
    socket.destroy();
  }
}
