/**
 * A TCP proxy in front of a server, so that one instance can lose it while another does not.
 * States: open (bytes pass, after a delay where one is set), cut (connections are broken, new
 * ones too), stalled (connections stay, no byte passes until it is healed).
 */
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { countFault } from './injected.ts';
import { freePort } from './port.ts';

export interface Proxy extends AsyncDisposable {
  /** Connect here instead of to the server. */
  readonly port: number;
  /** `url` with this proxy's port instead of the server's. */
  through(url: string): string;
  /** Breaks all connections, and every new one at once. */
  cut(): void;
  /** Keeps the connections and passes nothing. What was sent meanwhile arrives after `heal()`. */
  stall(): void;
  /** Everything passes again, what was held back first. */
  heal(): void;
  /** Each piece of data arrives this many milliseconds later, in each direction. */
  delay(ms: number): void;
  /** Can be called twice. */
  close(): Promise<void>;
}

/** A proxy on the loopback interface in front of `targetPort`. */
export async function startProxy(targetPort: number, targetHost = '127.0.0.1'): Promise<Proxy> {
  const proxy = new TcpProxy(targetPort, targetHost);
  await proxy.listen();
  return proxy;
}

/** One direction of one connection: what was read and not yet written. */
class Pipe {
  readonly #to: Socket;
  readonly #held: { readonly at: number; readonly chunk: Buffer | null }[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(to: Socket) {
    this.#to = to;
  }

  /** `null` is the end of the stream. */
  push(chunk: Buffer | null, delayMs: number): void {
    this.#held.push({ at: performance.now() + delayMs, chunk });
  }

  /** Writes what is due, and sets a timer for the rest. */
  flush(): void {
    clearTimeout(this.#timer);
    for (let next = this.#held[0]; next !== undefined; next = this.#held[0]) {
      const wait = next.at - performance.now();
      if (wait > 0) {
        this.#timer = setTimeout(() => this.flush(), Math.ceil(wait));
        return;
      }
      this.#held.shift();
      if (next.chunk === null) this.#to.end();
      else this.#to.write(next.chunk);
    }
  }

  hold(): void {
    clearTimeout(this.#timer);
  }
}

class TcpProxy implements Proxy {
  readonly #targetPort: number;
  readonly #targetHost: string;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #pipes = new Set<Pipe>();
  #port = 0;
  #state: 'open' | 'cut' | 'stalled' = 'open';
  #delayMs = 0;

  constructor(targetPort: number, targetHost: string) {
    this.#targetPort = targetPort;
    this.#targetHost = targetHost;
    this.#server = createServer({ allowHalfOpen: true }, (socket) => this.#accept(socket));
  }

  async listen(): Promise<void> {
    this.#port = await freePort();
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  get port(): number {
    return this.#port;
  }

  through(url: string): string {
    const parsed = new URL(url);
    parsed.host = `127.0.0.1:${this.#port}`;
    // A URL without a path is written without one, as it came.
    return url.endsWith('/') ? parsed.href : parsed.href.replace(/\/$/, '');
  }

  cut(): void {
    countFault('cut');
    this.#break();
  }

  stall(): void {
    countFault('stall');
    this.#state = 'stalled';
    for (const pipe of this.#pipes) pipe.hold();
  }

  heal(): void {
    this.#state = 'open';
    for (const pipe of this.#pipes) pipe.flush();
  }

  delay(ms: number): void {
    if (ms > 0) countFault('slow');
    this.#delayMs = ms;
  }

  async close(): Promise<void> {
    this.#break();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #break(): void {
    this.#state = 'cut';
    for (const socket of this.#sockets) socket.destroy();
  }

  #accept(client: Socket): void {
    if (this.#state === 'cut') {
      client.on('error', () => {}).destroy();
      return;
    }
    const target = connect({
      port: this.#targetPort,
      host: this.#targetHost,
      allowHalfOpen: true,
    });
    this.#join(client, target);
    this.#join(target, client);
  }

  #join(from: Socket, to: Socket): void {
    const pipe = new Pipe(to);
    const pass = (chunk: Buffer | null) => {
      pipe.push(chunk, this.#delayMs);
      if (this.#state === 'open') pipe.flush();
    };
    this.#sockets.add(from);
    this.#pipes.add(pipe);
    from.setNoDelay(true);
    from.on('data', pass);
    from.on('end', () => pass(null));
    from.on('error', () => {});
    from.on('close', (broken) => {
      this.#sockets.delete(from);
      if (broken || this.#state === 'cut') {
        pipe.hold();
        to.destroy();
      }
      if (!this.#sockets.has(to)) this.#pipes.delete(pipe);
    });
  }
}
