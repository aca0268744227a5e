import { own } from '../proxy/sockets.ts';
import type { SharedRead } from '../proxy/sockets.ts';
import type { BackendSocket, DialOwner, Way } from '../proxy/way.ts';
import type { TlsClient } from '../dial/tls.ts';

const MOST_SESSION_BYTES = 16_384;

/** HTTP/1.1 over TLS. The latest session that the backend has offered is kept, so that the next handshake is a short one. */
export class TlsWay implements Way {
  readonly shared = false;
  private readonly client: TlsClient;
  private readonly host: string;
  private readonly port: number;
  private session: Buffer | undefined;

  constructor(client: TlsClient, host: string, port: number) {
    this.client = client;
    this.host = host;
    this.port = port;
  }

  dial(owner: DialOwner, onread: SharedRead): BackendSocket {
    const more = { session: this.session, allowHalfOpen: true, onread };
    const socket = this.client.connect(this.host, this.port, more);
    own(socket, owner);
    socket.once('secureConnect', () => owner.onConnect());
    socket.on('session', (session: Buffer) => {
      if (session.length <= MOST_SESSION_BYTES) this.session = session;
    });
    return socket;
  }

  warm(): void {
    // Its connections are opened one by one, each ahead of its first request.
  }

  retire(): void {
    this.session = undefined;
  }
}
