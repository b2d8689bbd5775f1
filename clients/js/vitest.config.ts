import { defineConfig } from "vitest/config";

export default defineConfig({
  // Time is a fake clock's: a test that takes long is one that spins.
  test: { include: ["test/**/*.test.ts"], testTimeout: 10_000, unstubGlobals: true, restoreMocks: true },
});
