import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { startProxy } from '@cache/testing';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

describe('a proxy in front of a server', () => {
  let echo: Server;
  let port: number;
  beforeAll(async () => {
    echo = createServer((socket) => {
      socket.on('error', () => {});
      socket.pipe(socket);
    });
    echo.listen(0, '127.0.0.1');
    await once(echo, 'listening');
    port = (echo.address() as AddressInfo).port;
  });
  afterAll(() => {
    echo.close();
  });

  async function open(proxyPort: number): Promise<Socket> {
    const socket = connect(proxyPort, '127.0.0.1');
    socket.setEncoding('utf8').on('error', () => {});
    await once(socket, 'connect');
    return socket;
  }

  async function say(socket: Socket, text: string): Promise<string> {
    socket.write(text);
    const [answer] = await once(socket, 'data', { signal: AbortSignal.timeout(2_000) });
    return String(answer);
  }

  test('passes what is said, and the end of it', async () => {
    await using proxy = await startProxy(port);
    const socket = await open(proxy.port);
    expect(await say(socket, 'hello')).toBe('hello');
    socket.end();
    await once(socket, 'close');
  });

  test('cut, breaks every connection and every new one; healed, takes new ones', async () => {
    await using proxy = await startProxy(port);
    const socket = await open(proxy.port);
    const broken = once(socket, 'close');
    proxy.cut();
    await broken;
    const refused = await open(proxy.port);
    await once(refused, 'close');
    proxy.heal();
    expect(await say(await open(proxy.port), 'again')).toBe('again');
  });

  test('cuts one path to a server and leaves another', async () => {
    await using one = await startProxy(port);
    await using two = await startProxy(port);
    const socket = await open(two.port);
    one.cut();
    expect(await say(socket, 'still here')).toBe('still here');
  });

  test('stalled, keeps the connection and holds what is said until it is healed', async () => {
    await using proxy = await startProxy(port);
    const socket = await open(proxy.port);
    proxy.stall();
    let heard = '';
    socket.on('data', (chunk) => {
      heard += String(chunk);
    });
    socket.write('held');
    // A connection beside the proxy shows that the server has been answering all the while.
    expect(await say(await open(port), 'beside')).toBe('beside');
    expect(heard).toBe('');
    proxy.heal();
    await expect.poll(() => heard).toBe('held');
  });

  test('delays each way, and keeps the order', async () => {
    await using proxy = await startProxy(port);
    const socket = await open(proxy.port);
    proxy.delay(60);
    let heard = '';
    socket.on('data', (chunk) => {
      heard += String(chunk);
    });
    const start = performance.now();
    for (const letter of 'abcdef') socket.write(letter);
    await expect.poll(() => heard).toBe('abcdef');
    expect(performance.now() - start).toBeGreaterThanOrEqual(119);
  });

  test('writes its own port into a URL', async () => {
    await using proxy = await startProxy(port);
    expect(proxy.through(`redis://:secret@127.0.0.1:${port}`)).toBe(
      `redis://:secret@127.0.0.1:${proxy.port}`,
    );
    expect(proxy.through(`http://127.0.0.1:${port}`)).toBe(`http://127.0.0.1:${proxy.port}`);
  });
});
