import t from 'tap';
import { maskedCommand } from '../../src/config/masked-command.ts';

t.test('what is called a secret is masked: options, variables, passwords in URLs', async (t) => {
  const cases: [string[], string[]][] = [
    [
      ['app', '--api-token', 'hunter2', '--port', '1'],
      ['app', '--api-token', '***', '--port', '1'],
    ],
    [['--db-password=hunter2'], ['--db-password=***']],
    [
      ['env', 'API_KEY=hunter2', 'PORT=1', 'app'],
      ['env', 'API_KEY=***', 'PORT=1', 'app'],
    ],
    [
      ['sh', '-c', 'A=1 DB_PASSWORD="hunter 2" TOKEN=hunter2; exec app'],
      ['sh', '-c', 'A=1 DB_PASSWORD=*** TOKEN=***; exec app'],
    ],
    [
      ['sh', '-c', 'exec app --token hunter2 --db-password="hunter 2" --api-key --verbose -p 1; echo --token=hunter2'],
      ['sh', '-c', 'exec app --token *** --db-password=*** --api-key --verbose -p 1; echo --token=***'],
    ],
    [
      ['app', '--db', 'postgres://me:hunter2@db:5432/web'],
      ['app', '--db', 'postgres://me:***@db:5432/web'],
    ],
    [['redis://:hunter2@cache'], ['redis://:***@cache']],
  ];
  for (const [command, shown] of cases) t.strictSame(maskedCommand(command), shown, command.join(' '));
});

t.test('all else is as it was', async (t) => {
  const command = ['node', 'server.js', '--token', '--verbose', 'a=b', 'http://127.0.0.1:80/a@b', 'me@host:1', 'the key is here', 'a-token b'];
  t.strictSame(maskedCommand(command), command);
});

t.test('two secrets can be told apart where the mask says so', async (t) => {
  const mask = (secret: string): string => `<${secret.length}>`;
  t.strictSame(maskedCommand(['--key=abc', '--key', 'ab', 'A_KEY=a', 'x://u:abcd@h'], mask), ['--key=<3>', '--key', '<2>', 'A_KEY=<1>', 'x://u:<4>@h']);
});
