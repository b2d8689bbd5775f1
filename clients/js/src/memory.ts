/** What a tab remembers over a reload: cursors, and the wait that a proxy lets through. */

import { table, type Positions } from "./readers.js";

export interface Memory {
  cursors: Positions;
  wait?: number;
}

// sessionStorage throws where a page may not have it, or when it is full: then nothing is remembered.

export const recall = (key: string): Memory => {
  let memory: Partial<Memory> = {};
  try {
    memory = JSON.parse(sessionStorage[key]);
  } catch {}
  return { ...memory, cursors: table(memory.cursors) };
};

export const remember = (key: string, memory: Memory): void => {
  try {
    sessionStorage[key] = JSON.stringify(memory);
  } catch {}
};
