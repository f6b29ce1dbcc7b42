// Browsers start no worker from a file. There a worker is a script in a hidden frame, so that the search works from a
// folder. The theme's search looks for the name IFrameWorker.
"use strict";
class IFrameWorker extends EventTarget {
  constructor(address) {
    super();
    this.frame = document.createElement("iframe");
    this.frame.hidden = true;
    this.frame.srcdoc = "<!doctype html><title>search</title>";
    this.ready = new Promise((done) => {
      this.frame.addEventListener("load", () => {
        const inside = this.frame.contentWindow, script = inside.document.createElement("script");
        inside.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
        script.src = address;
        script.addEventListener("load", () => done(inside));
        inside.document.body.append(script);
      }, { once: true });
    });
    document.body.append(this.frame);
  }
  postMessage(data) {
    this.ready.then((inside) => inside.dispatchEvent(new MessageEvent("message", { data })));
  }
  terminate() {
    this.frame.remove();
  }
}
if (location.protocol === "file:") Object.assign(window, { IFrameWorker, Worker: IFrameWorker });
