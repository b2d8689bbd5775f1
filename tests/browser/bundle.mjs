// Bundles a recipe of the client's README, with its framework, as a page's script; writes it to standard
// output. Arguments: the folder, the file to begin with.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";

const client = new URL("../../clients/js/", import.meta.url).pathname;
const require = createRequire(client);
const { build } = require("esbuild");
const { compile } = require("svelte/compiler");

const svelte = {
  name: "svelte",
  setup(build) {
    build.onLoad({ filter: /\.svelte$/ }, async ({ path }) => {
      const { js } = compile(await readFile(path, "utf8"), { filename: path, generate: "client" });
      return { contents: js.code, loader: "js" };
    });
  },
};

const [folder, entry] = process.argv.slice(2);
const { outputFiles } = await build({
  entryPoints: [join(folder, entry)],
  bundle: true,
  write: false,
  format: "iife",
  target: "es2022",
  jsx: "automatic",
  conditions: ["browser"],
  nodePaths: [join(client, "node_modules")],
  alias: { pushhub: join(client, "src/index.ts"), vue: require.resolve("vue/dist/vue.esm-bundler.js") },
  define: {
    "process.env.NODE_ENV": '"production"',
    __VUE_OPTIONS_API__: "true",
    __VUE_PROD_DEVTOOLS__: "false",
    __VUE_PROD_HYDRATION_MISMATCH_DETAILS__: "false",
  },
  plugins: [svelte],
});
process.stdout.write(outputFiles[0].text);
