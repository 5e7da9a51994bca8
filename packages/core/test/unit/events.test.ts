import { expect, test } from 'vitest';
import { type CacheEvent, EventHub, eventLogger, type Logger } from '../../src/events.ts';

const closed: CacheEvent = { type: 'closed', pending: 0 };

test('a listener that throws or rejects harms neither the emitter nor the other listeners', async () => {
  const hub = new EventHub();
  const heard: CacheEvent[] = [];
  hub.subscribe(() => {
    throw new Error('mine');
  });
  hub.subscribe(async () => {
    throw new Error('mine too');
  });
  hub.subscribe((event) => heard.push(event));
  hub.emit(closed);
  await Promise.resolve();
  expect(heard).toEqual([closed]);
});

test('an ended subscription hears nothing more, and ending it twice does nothing', () => {
  const hub = new EventHub();
  let first = 0;
  let second = 0;
  const listener = (): number => first++;
  const end = hub.subscribe(listener);
  hub.subscribe(listener);
  hub.subscribe(() => second++);
  end();
  end();
  hub.emit(closed);
  expect([first, second]).toEqual([1, 1]);
});

test('a listener may end its own subscription while it is called', () => {
  const hub = new EventHub();
  const heard: string[] = [];
  const end = hub.subscribe(() => {
    heard.push('once');
    end();
  });
  hub.subscribe(() => heard.push('always'));
  hub.emit(closed);
  hub.emit(closed);
  expect(heard).toEqual(['once', 'always', 'always']);
});

test('a logger hears each event at the level that it deserves', () => {
  const lines: string[] = [];
  const at = (level: string) => (details: object, message: string) => {
    lines.push(`${level} ${message} ${JSON.stringify(details)}`);
  };
  const logger: Logger = {
    debug: at('debug'),
    info: at('info'),
    warn: at('warn'),
    error: at('error'),
  };
  const hub = new EventHub();
  hub.subscribe(eventLogger(logger));
  hub.emit({ type: 'breaker', to: 'OPEN', reason: '5 failures in a row' });
  hub.emit({ type: 'dead-letter', namespace: 'calls', why: 'refused' });
  hub.emit(closed);
  expect(lines).toEqual([
    'warn cache breaker {"cache":{"type":"breaker","to":"OPEN","reason":"5 failures in a row"}}',
    'error cache dead-letter {"cache":{"type":"dead-letter","namespace":"calls","why":"refused"}}',
    'info cache closed {"cache":{"type":"closed","pending":0}}',
  ]);
});
