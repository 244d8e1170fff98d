// SPDX-License-Identifier: Apache-2.0
"use strict";
// Every two seconds, while somebody looks: the same page again, of which only the part
// that changes is put in place.
const again = async () => {
  const stale = document.getElementById("stale");
  try {
    const answer = await fetch("/", { cache: "no-store" });
    if (answer.status === 503) return;
    if (!answer.ok) throw new Error(answer.statusText);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.title = fresh.title;
    const now = document.getElementById("status"), next = fresh.getElementById("status");
    if (now.innerHTML !== next.innerHTML) now.innerHTML = next.innerHTML;
    stale.hidden = true;
  } catch {
    stale.hidden = false;
  }
};
setInterval(() => { if (!document.hidden) again(); }, 2000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) again(); });
