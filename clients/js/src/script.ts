/** The script tag: `<script src="…/client.js">` gives the page `pushhub`. */

import { connect, poll } from "./index.js";

Object.assign(globalThis, { pushhub: { connect, poll } });
