// A double of the original Python peer: no keys, no encryption, no acknowledgements.

import { createHash } from "node:crypto";
import net from "node:net";

import { PASSWORD } from "./harness.js";

/** Calls `take` with each JSON object that a socket receives, one a line. */
function read(socket, take) {
  let unread = "";
  socket.setEncoding("utf8");
  socket.on("error", () => socket.destroy());
  socket.on("data", text => {
    const lines = (unread + text).split("\n");
    unread = lines.pop();
    lines.filter(line => line.trim()).forEach(line => take(JSON.parse(line)));
  });
}

/** Starts the program and registers a user. It ends with the sockets of the others. */
export async function startLegacyPeer(tracker, username) {
  const links = new Map();
  const heard = [];
  const send = (socket, object) => socket.write(`${JSON.stringify(object)}\n`);
  const link = (name, socket) => links.set(name, socket);
  const received = message => message.cmd === "MESSAGE" && heard.push(message.content);
  const server = net.createServer(socket => {
    read(socket, message => {
      message.cmd === "HELLO" && link(message.username, socket);
      message.cmd === "PING" && send(socket, { cmd: "PONG" });
      received(message);
    });
  });
  server.unref();
  await new Promise(resolve => server.listen(0, "127.0.0.1", resolve));
  const [host, port] = tracker.address.split(":");
  const session = net.connect(Number(port), host);
  session.unref();
  const replies = [];
  read(session, object => object.status && replies.shift()?.(object));
  const ask = request =>
    new Promise(resolve => {
      replies.push(resolve);
      send(session, { ...request, username });
    });
  const password = createHash("sha256").update(PASSWORD).digest("hex");
  await ask({ cmd: "REGISTER", password, address: "127.0.0.1", port: server.address().port });
  return {
    heard,
    /** Enters a room, and dials its members. */
    async join(room) {
      const reply = await ask({ cmd: "JOIN_ROOM", room });
      for (const slot of ["peer_owner", "peer_one", "peer_two"]) {
        const member = reply.room[slot];
        if (member?.port && member.username !== username) {
          const socket = net.connect(member.port, member.address);
          socket.unref();
          read(socket, received);
          send(socket, { cmd: "HELLO", username });
          link(member.username, socket);
        }
      }
    },
    say: (room, content) => links.forEach(socket => send(socket, { cmd: "MESSAGE", room, username, content })),
  };
}
