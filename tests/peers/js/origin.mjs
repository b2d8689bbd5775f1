// An origin with @fanoutio/serve-grip, unmodified. It prints its port, reads a line with the control
// endpoint of its proxy and their secret, and prints "ready".
//   GET /poll?channel=a    a held response       GET /stream?channel=a    a stream
//   GET /who               what it knows of its proxy
//   POST /publish?channel=a&text=hi              publishes both formats
import http from 'node:http';
import { createInterface } from 'node:readline';
import { HttpResponseFormat, HttpStreamFormat, Item } from '@fanoutio/grip';
import { ServeGrip } from '@fanoutio/serve-grip';

let grip;

const server = http.createServer((req, res) => {
  if (grip === undefined) {
    // A hold, which says that every part of a proxy has found the others.
    res.setHeader('Grip-Hold', 'stream');
    res.setHeader('Grip-Channel', 'ready');
    res.end('not ready\n');
    return;
  }
  grip(req, res, async () => {
    const url = new URL(req.url, 'http://origin');
    const channel = url.searchParams.get('channel');
    res.setHeader('Content-Type', 'text/plain');
    if (url.pathname === '/poll') {
      const instruct = res.grip.startInstruct();
      instruct.addChannel(channel);
      instruct.meta = { user: 'al"ice' };
      instruct.setHoldLongPoll(20);
      res.end('nothing\n');
    } else if (url.pathname === '/stream') {
      const instruct = res.grip.startInstruct();
      instruct.addChannel(channel);
      instruct.setHoldStream();
      instruct.setKeepAlive('\n', 30);
      res.end('open\n');
    } else if (url.pathname === '/publish') {
      const text = url.searchParams.get('text');
      const formats = [new HttpResponseFormat({ body: text }), new HttpStreamFormat(text)];
      try {
        await grip.getPublisher().publish(channel, new Item(formats));
        res.end('published\n');
      } catch (error) {
        res.statusCode = 500;
        res.end(`${error}: ${JSON.stringify(error.context)}\n`);
      }
    } else {
      res.end(JSON.stringify({ proxied: req.grip.isProxied, signed: req.grip.isSigned }));
    }
  });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));

for await (const line of createInterface({ input: process.stdin })) {
  const [control, key] = line.split(' ');
  grip = new ServeGrip({ grip: { control_uri: control, control_iss: 'me', key, verify_key: key } });
  console.log('ready');
}
