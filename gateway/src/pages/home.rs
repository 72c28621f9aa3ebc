//! The gateway's own front page.

use super::{Top, close, open};

/// The page at `/`, for a gateway that leads nowhere else: what this is, and a form that opens a CID or a path through
/// `/?open=`.
pub fn home() -> String {
    let mut out = String::with_capacity(10 << 10);
    open(&Top { title: "IPFS gateway", skip: "Skip to the form", label: "IPFS gateway", frame: None }, &mut out);
    out.push_str(
        "<h1>Content, by its hash</h1>\n\
         <p class=reason>IPFS names content by its hash, the CID. This gateway finds it and checks every block \
         against its CID before sending it.</p>\n\
         <form action=\"/\" method=get role=search>\n<label for=open>CID, path or ipfs:// address</label>\n\
         <div><input id=open name=open required spellcheck=false autocapitalize=off autocomplete=off \
         placeholder=\"ipfs://bafy\u{2026}\"><button>Open</button></div>\n</form>\n",
    );
    close("Cairn, a gateway to IPFS.", false, &mut out);
    out
}
