// The console's behaviour on top of pages that work without it. Rule: nothing here writes HTML; what a page shows is
// made by the server, and regions are taken from a document that the browser parsed (see swap.js).
import { follow } from "./live.js";
import { compose } from "./composer.js";
import { shortcuts } from "./keys.js";
import { tips } from "./tips.js";
import { clocks } from "./times.js";
import { navigate } from "./swap.js";
import { connection } from "./connection.js";

clocks();
tips();
shortcuts();
navigate();
compose();
connection();
follow();
