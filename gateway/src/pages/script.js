// Buttons that copy CIDs: one beside every CID in full, and one that follows the pointer and the focus through a table.
(() => {
  if (!navigator.clipboard) return;
  const said = document.createElement("p");
  said.className = "sr";
  said.setAttribute("role", "status");
  const button = (find) => {
    const made = document.createElement("button");
    const rest = () => { made.textContent = "Copy"; };
    made.type = "button";
    made.className = "copy";
    made.setAttribute("aria-label", "Copy CID");
    made.onclick = async () => {
      try {
        await navigator.clipboard.writeText(find(made));
        made.textContent = said.textContent = "Copied";
      } catch {
        made.textContent = said.textContent = "Not allowed";
      }
      setTimeout(() => { rest(); said.textContent = ""; }, 1600);
    };
    rest();
    return made;
  };
  for (const cid of document.querySelectorAll("code.cid")) cid.after(button(() => cid.textContent));
  const moving = button((made) => /(?:\/ipfs\/|#)([^?/]+)/.exec(made.previousElementSibling.href)[1]);
  const follow = (event) => {
    const row = event.target.closest?.("tbody tr, .tiles li");
    const link = row?.querySelector(".ipfs-hash");
    if (!link || moving.previousElementSibling === link || moving.matches(":focus-visible") && event.type !== "focusin") return;
    moving.textContent = "Copy";
    link.after(moving);
  };
  document.addEventListener("pointerover", follow);
  document.addEventListener("focusin", follow);
  document.addEventListener("DOMContentLoaded", () => document.body.append(said));
})();
