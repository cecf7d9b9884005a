// SPDX-License-Identifier: GPL-3.0-or-later
// What the server and the page have agreed on.

import { byId } from "../../js/dom.js";

export const constants = JSON.parse(byId("constants").textContent);
