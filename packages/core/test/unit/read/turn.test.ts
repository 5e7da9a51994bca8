import { expect, it } from 'vitest';
import { Turn } from '../../../src/read/turn.ts';

it('questions of one turn travel together, each with an answer of its own', async () => {
  const batches: (readonly number[])[] = [];
  const turn = new Turn<number, number>({
    maxBatch: 10,
    ask: async (questions) => {
      batches.push(questions);
      return questions.map((question) => question * 2);
    },
  });
  expect(await Promise.all([1, 1, 2].map((question) => turn.ask(question)))).toEqual([2, 2, 4]);
  expect(await turn.ask(3)).toBe(6);
  expect(batches).toEqual([[1, 1, 2], [3]]);
});

it('a batch has a bound', async () => {
  const sizes: number[] = [];
  const turn = new Turn<number, number>({
    maxBatch: 2,
    ask: async (questions) => {
      sizes.push(questions.length);
      return questions;
    },
  });
  expect(await Promise.all([1, 2, 3, 4, 5].map((one) => turn.ask(one)))).toEqual([1, 2, 3, 4, 5]);
  expect(sizes).toEqual([2, 2, 1]);
});

it('a failure is that of its batch alone', async () => {
  const turn = new Turn<number, number>({
    maxBatch: 1,
    ask: async ([question]) => {
      if (question === 2) throw new Error('two');
      return [question ?? 0];
    },
  });
  const outcomes = await Promise.allSettled([1, 2, 3].map((one) => turn.ask(one)));
  expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
});

it('answers that do not fit the questions are nobody’s', async () => {
  const turn = new Turn<number, number>({ maxBatch: 10, ask: async () => [1] });
  await expect(Promise.all([turn.ask(1), turn.ask(2)])).rejects.toThrow('1 answers to 2 questions');
});
