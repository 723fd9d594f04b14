// The yardstick: what one writes by hand. One shared change stream, every change to everybody;
// no history, no resume, no back pressure.
import http from 'node:http';
import { MongoClient } from 'mongodb';

const [uri, database, collection] = process.argv.slice(2);
const clients = new Set();

const mongo = await MongoClient.connect(uri);
const stream = mongo.db(database).collection(collection).watch([], {
  fullDocument: 'whenAvailable',
  fullDocumentBeforeChange: 'whenAvailable',
});
stream.on('change', (change) => {
  const message = {
    type: 'change',
    op: change.operationType,
    key: change.documentKey._id,
    document: change.fullDocument,
    time: change.wallTime,
  };
  const frame = `id: ${change._id._data}\ndata: ${JSON.stringify(message)}\n\n`;
  for (const client of clients) client.write(frame);
});

const server = http.createServer((request, response) => {
  response.writeHead(200, { 'Content-Type': 'text/event-stream' });
  response.write('event: live\ndata: {}\n\n');
  clients.add(response);
  request.on('close', () => clients.delete(response));
});
server.listen(0, '127.0.0.1', () => {
  console.log(`listening on http://127.0.0.1:${server.address().port}`);
});
