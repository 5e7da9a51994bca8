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
  return await ask(port, password, command, (received, lines) => {
    const replies = received.split('\r\n').slice(0, -1);
    return replies[lines - 1];
  });
}

/** {@link redisCommand}, but the whole text of the reply; of a list, its texts, a line for each. */
export async function redisText(
  port: number,
  password: string | undefined,
  command: string,
): Promise<string> {
  return await ask(port, password, command, (received, lines) => {
    const start = lines === 1 ? 0 : received.indexOf('\r\n') + 2;
    return textIn(received.slice(start))?.[0];
  });
}

/** The text of a complete reply, and what follows it; `undefined` where more has to come. */
function textIn(reply: string): readonly [text: string, rest: string] | undefined {
  const end = reply.indexOf('\r\n');
  if (end < 0) return undefined;
  const [kind, head] = [reply[0], reply.slice(1, end)];
  let rest = reply.slice(end + 2);
  if (kind === '$') {
    // Keys and texts of administration are ASCII: characters are bytes.
    const length = Number(head);
    if (length < 0) return ['', rest];
    return rest.length < length + 2 ? undefined : [rest.slice(0, length), rest.slice(length + 2)];
  }
  if (kind !== '*') return [head, rest];
  const texts: string[] = [];
  for (let left = Number(head); left > 0; left -= 1) {
    const next = textIn(rest);
    if (next === undefined) return undefined;
    texts.push(next[0]);
    rest = next[1];
  }
  return [texts.join('\n'), rest];
}

async function ask(
  port: number,
  password: string | undefined,
  command: string,
  answerIn: (received: string, lines: number) => string | undefined,
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
      const replies = received.split('\r\n').slice(0, lines.length);
      const refused = replies.find((reply) => reply.startsWith('-'));
      if (refused !== undefined) throw new ServerError(`redis-server refused ${command}`, refused);
      const answer = answerIn(received, lines.length);
      if (answer !== undefined) return answer;
    }
    throw new ServerError(`redis-server closed the connection at ${command}`, received);
  } finally {
    socket.destroy();
  }
}
