import { describe, expect, test } from '@jest/globals';
import { addressed, readFields, readRequest } from '../codec.js';
import { readCloud, type Provider } from './reading.js';

const reading = { base: '', repeated: new Set<string>(), encodedSlashes: true };

/** @param line "METHOD /path?query", then fields and a form. */
function read(provider: Provider, host: string, line: string, fields: Record<string, string> = {}, form = '') {
  const [method = '', at = ''] = line.split(' ');
  const all = { ...(form === '' ? {} : { 'content-type': 'application/x-www-form-urlencoded' }), ...fields };
  const request = readRequest(
    method,
    addressed(`/http/t${at}`),
    readFields(Object.entries(all).flat(), true),
    Buffer.from(form),
    reading,
  );
  const { service, action } = readCloud(request, { provider, host, base_segments: 0, service: undefined });
  return `${service ?? '-'} ${action ?? '-'}`;
}

describe('AWS', () => {
  test.each([
    ['ec2.eu-west-1.amazonaws.com', 'GET /?Action=DescribeInstances&Version=2016-11-15', 'ec2 DescribeInstances'],
    ['iam.amazonaws.com', 'GET /?Action=ListUsers', 'iam ListUsers'],
    ['s3.eu-west-1.amazonaws.com', 'GET /', 's3 ListBuckets'],
    ['s3.eu-west-1.amazonaws.com', 'GET /b?list-type=2&prefix=a', 's3 ListObjectsV2'],
    ['s3.eu-west-1.amazonaws.com', 'GET /b/', 's3 ListObjects'],
    ['s3.amazonaws.com', 'GET /b/a/c.txt', 's3 GetObject'],
    ['b.s3.eu-west-1.amazonaws.com', 'DELETE /c.txt', 's3 DeleteObject'],
    ['b.s3.eu-west-1.amazonaws.com', 'PUT /?policy', 's3 PutBucketPolicy'],
    ['s3.amazonaws.com', 'PUT /b/k?partNumber=1&uploadId=x', 's3 UploadPart'],
    ['s3.amazonaws.com', 'GET /b?acl&policy', 's3 -'],
    ['s3.amazonaws.com', 'GET /b?unheard-of', 's3 -'],
    ['ec2.eu-west-1.amazonaws.com', 'GET /', 'ec2 -'],
    ['ec2.eu-west-1.amazonaws.com', 'GET /x?Action=DescribeInstances', 'ec2 -'],
    ['ec2.eu-west-1.amazonaws.com', 'PUT /?Action=DescribeInstances', 'ec2 -'],
    ['unheard-of.eu-west-1.amazonaws.com', 'GET /?Action=A', 'unheard-of -'],
    ['elsewhere.example', 'GET /?Action=A', '- -'],
    ['ec2.eu-west-1.amazonaws.com', 'GET /?action=TerminateInstances', 'ec2 -'],
    ['ec2.eu-west-1.amazonaws.com', 'GET /?Action=describeInstances', 'ec2 -'],
    ['b.s3.cn-north-1.amazonaws.com.cn', 'GET /k', 's3 GetObject'],
    ['123.s3-control.eu-west-1.amazonaws.com', 'DELETE /v20180820/accesspoint/a', 's3-control -'],
    ['s3.amazonaws.com', 'DELETE /b%2Fk', 's3 -'],
  ])('%s %s', (host, line, wanted) => {
    expect(read('aws', host, line)).toBe(wanted);
  });

  test('a form and X-Amz-Target name one as well, and two names are none', () => {
    const form = 'Action=TerminateInstances&InstanceId.1=i';
    const ec2 = 'ec2.eu-west-1.amazonaws.com';
    expect(read('aws', ec2, 'POST /', {}, form)).toBe('ec2 TerminateInstances');
    expect(read('aws', ec2, 'POST /?Action=DescribeInstances', {}, form)).toBe('ec2 -');
    const dynamo = 'dynamodb.eu-west-1.amazonaws.com';
    const target = (name: string) => ({ 'x-amz-target': name });
    expect(read('aws', dynamo, 'POST /', target('DynamoDB_20120810.GetItem'))).toBe('dynamodb GetItem');
    expect(read('aws', dynamo, 'POST /', target('Other_1.GetItem'))).toBe('dynamodb -');
    expect(read('aws', dynamo, 'POST /?Action=PutItem', target('DynamoDB_20120810.GetItem'))).toBe('dynamodb GetItem');
    expect(read('aws', ec2, 'POST /?Action=DescribeInstances', { 'content-type': 'text/plain' }, form)).toBe('ec2 -');
    expect(read('aws', ec2, 'POST /?Action=DescribeInstances', {}, 'action=TerminateInstances')).toBe('ec2 -');
    const watch = 'monitoring.eu-west-1.amazonaws.com';
    const alarms = 'POST /?Action=DescribeAlarms';
    expect(read('aws', watch, alarms, target('GraniteServiceVersion20100801.DeleteAlarms'))).toBe('monitoring -');
    expect(read('aws', watch, alarms, { 'smithy-protocol': 'rpc-v2-cbor' })).toBe('monitoring -');
    const plain = { ...target('DynamoDB_20120810.GetItem'), 'content-type': 'text/plain' };
    expect(read('aws', dynamo, 'POST /', plain, 'Action=PutItem')).toBe('dynamodb -');
    const sqs = 'sqs.eu-west-1.amazonaws.com';
    expect(read('aws', sqs, 'POST /1/q?Action=SendMessage')).toBe('sqs SendMessage');
    expect(read('aws', sqs, 'POST /?Action=SendMessage', target('AmazonSQS.DeleteQueue'))).toBe('sqs -');
    expect(read('aws', 's3.amazonaws.com', 'PUT /b/k', { 'x-amz-copy-source': 'b/other' })).toBe('s3 CopyObject');
  });
});

test.each([
  ['GET /compute/v1/projects/p/zones/z/instances', 'compute compute.instances.list'],
  ['POST /compute/v1/projects/p/zones/z/instances/i/start', 'compute compute.instances.start'],
  ['POST /compute/v1/projects/p/zones/z/instances/i/unheardOf', 'compute -'],
  ['POST /batch/compute/v1', 'compute -'],
  ['GET /compute/v1/projects/p/zones?%24alt=json', 'compute compute.zones.list'],
  ['GET /compute/v1/projects/p/zones?%24contentType=a', 'compute -'],
])('Google: %s', (line, wanted) => {
  expect(read('google', 'compute.googleapis.com', line)).toBe(wanted);
});

test('Google: methods behind a colon are those that are known, or none', () => {
  const host = 'secretmanager.googleapis.com';
  const at = '/v1/projects/p/secrets/s/versions/1';
  expect(read('google', host, `GET ${at}`)).toBe('secretmanager secretmanager.projects.secrets.versions.get');
  expect(read('google', host, `GET ${at}:access`)).toBe('secretmanager secretmanager.projects.secrets.versions.access');
  expect(read('google', host, `GET ${at}:other`)).toBe('secretmanager -');
});

test.each([
  ['GET /subscriptions/s/resourceGroups', 'microsoft.resources microsoft.resources/subscriptions/resourcegroups/read'],
  [
    'DELETE /subscriptions/s/resourceGroups/g',
    'microsoft.resources microsoft.resources/subscriptions/resourcegroups/delete',
  ],
  [
    'GET /subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v',
    'microsoft.compute microsoft.compute/virtualmachines/read',
  ],
  [
    'POST /subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v/start',
    'microsoft.compute microsoft.compute/virtualmachines/start/action',
  ],
  [
    'PUT /subscriptions/s/providers/Microsoft.Compute/a/b/providers/Microsoft.Authorization/roleAssignments/r',
    'microsoft.authorization microsoft.authorization/roleassignments/write',
  ],
  ['DELETE /subscriptions/s/providers/Microsoft.Compute/virtualMachines', 'microsoft.compute -'],
  ['POST /subscriptions/s/providers/Microsoft.Compute/virtualMachines/v', 'microsoft.compute -'],
  ['POST /batch', '- -'],
  ['DELETE /subscriptions/s/providers/Microsoft.Compute/virtualMachines/v%2Fextensions%2Fe', 'microsoft.compute -'],
])('Azure: %s', (line, wanted) => {
  expect(read('azure', 'management.azure.com', line)).toBe(wanted);
});

test('AWS: where S3 is signed for, the host says whether the bucket is in it, and the path is read whole', () => {
  const s3 = (host: string, line: string, base = '') => {
    const [method = '', at = ''] = line.split(' ');
    const request = readRequest(method, addressed(`/http/t${at}`), readFields([], true), Buffer.alloc(0), {
      ...reading,
      base,
    });
    return readCloud(request, { provider: 'aws', host, base_segments: base === '' ? 0 : 1, service: 's3' }).action;
  };
  expect(s3('b.s3.dualstack.us-east-1.amazonaws.com', 'DELETE /k')).toBe('DeleteObject');
  expect(s3('s3.dualstack.us-east-1.amazonaws.com', 'DELETE /b')).toBe('DeleteBucket');
  expect(s3('b.s3-accelerate.amazonaws.com', 'GET /')).toBe('ListObjects');
  expect(s3('1.s3-control.us-east-1.amazonaws.com', 'DELETE /v20180820/bucket/b')).toBeUndefined();
  expect(s3('s3.us-east-1.amazonaws.com', 'GET /k', '/b')).toBe('GetObject');
  expect(s3('s3.us-east-1.amazonaws.com', 'DELETE /k', '/b')).toBe('DeleteObject');
  expect(s3('storage.example', 'PUT /b/k')).toBe('PutObject');
});
