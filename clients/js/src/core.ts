/** The hub for one tab, with held requests: `import { connect } from "pushhub/core"`. */

import { createHub } from "./hub.js";
import type { Connect } from "./types.js";

export type * from "./types.js";
export const connect: Connect = (url, options) => createHub(url, options);
