/** Milliseconds that each kind of request may take, all of its calls together. */
export const READ_MS = 3000;
export const WRITE_MS = 5000;
export const HANGUP_MS = 5000;
