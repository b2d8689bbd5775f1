/** The hub whose tabs share one request: `import { connect } from "pushhub"`, or the script tag. */

import { createHub } from "./hub.js";
import { identify } from "./identity.js";
import { createStream } from "./stream.js";
import { shareTabs } from "./tabs.js";
import type { Connect } from "./types.js";

export type * from "./types.js";
export { poll } from "./value.js";
export const connect: Connect = (url, options) =>
  createHub(url, options, { share: options?.tabs === false ? undefined : shareTabs, identify, stream: createStream() });
