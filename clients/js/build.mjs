// node build.mjs [--hub] [FOLDER]
//
// Builds the client into the folder, or dist/: both entries as ESM, the script for a tag, source maps and
// types, and prints the script's hash for `integrity` (Subresource Integrity). The same sources give the same bytes: a test holds what the hub serves (pushhub/api/static/client.*,
// which --hub writes) to the sources.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { build } from "esbuild";
import { minify } from "terser";

const OUT = process.argv.slice(2).find((word) => !word.startsWith("--")) ?? "dist";

// What one module calls another by, and nobody else: no member of the API, of a message, or of the
// browser has such a name.
const INTERNAL =
  /^(accept|active|after|again|become|blocked|changed|died|enter|fresh|full|hear|identify|holds|joining|kick|lead|left|lived|pace|positions|readers|renews|rest|resume|run|seen|send|share|stir|take|follow)$/;

const OUTPUTS = [
  { entry: "src/core.ts", file: "core.js", format: "esm" },
  { entry: "src/index.ts", file: "index.js", format: "esm" },
  { entry: "src/index.ts", file: "client.mjs", format: "esm" },
  { entry: "src/script.ts", file: "client.js", format: "iife" },
];

await rm(OUT, { recursive: true, force: true });
await mkdir(OUT, { recursive: true });
for (const { entry, file, ...options } of OUTPUTS) {
  const { outputFiles } = await build({
    entryPoints: [entry],
    outfile: file,
    bundle: true,
    write: false,
    target: "es2022",
    sourcemap: "external",
    mangleProps: INTERNAL,
    ...options,
  });
  const [map, script] = outputFiles.map(({ text }) => text);
  // esbuild joins the modules; terser takes 4 % more off what is left.
  const { code, map: last } = await minify(
    { [file]: script },
    {
      module: options.format === "esm",
      compress: { passes: 3 },
      sourceMap: { content: map, filename: file, url: `${file}.map`, includeSources: true },
    },
  );
  await writeFile(`${OUT}/${file}`, code);
  await writeFile(`${OUT}/${file}.map`, last);
}
const tsc = createRequire(import.meta.url).resolve("typescript/bin/tsc");
execFileSync(process.execPath, [tsc, "--outDir", OUT], { stdio: "inherit" });
// One file with all types, for what a hub serves.
const types = await readFile(`${OUT}/types.d.ts`, "utf8");
const names = "export declare const connect: Connect;\nexport declare const poll: StartPoll;\nexport as namespace pushhub;\n";
await writeFile(`${OUT}/client.d.ts`, types + names);

// With --hub the hub's own copy too.
if (process.argv.includes("--hub"))
  for (const file of ["client.js", "client.js.map", "client.mjs", "client.mjs.map", "client.d.ts"])
    await copyFile(`${OUT}/${file}`, `../../pushhub/api/static/${file}`);

// SHA-384 is what the specification's own examples have (SRI §3.2).
const hash = createHash("sha384").update(await readFile(`${OUT}/client.js`)).digest("base64");
console.log(`client.js integrity="sha384-${hash}"`);
