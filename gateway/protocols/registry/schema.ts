import Type from 'typebox';

/** `operation.registry` of the input document. */

const closed = { additionalProperties: false } as const;
const oneOf = <T extends string>(values: readonly T[], description: string) =>
  Type.Unsafe<T>({ type: 'string', enum: [...values], description });
const texts = (description: string) => Type.Record(Type.String(), Type.String(), { description });

const DescriptorSchema = Type.Object(
  {
    digest: Type.String(),
    size: Type.Integer({ minimum: 0, description: 'Bytes, as the manifest says.' }),
    media_type: Type.String(),
    artifact_type: Type.Optional(Type.String()),
    platform: Type.Optional(Type.String({ description: 'OS/ARCHITECTURE or OS/ARCHITECTURE/VARIANT.' })),
    foreign: Type.Optional(Type.Boolean({ description: 'True: clients fetch it from elsewhere.' })),
  },
  closed,
);
export type Descriptor = Type.Static<typeof DescriptorSchema>;

const ManifestSchema = Type.Object(
  {
    kind: oneOf(['image', 'index'], 'index: a list of images, one a platform.'),
    media_type: Type.String(),
    digest: Type.String({ description: 'Of its bytes, by SHA-256.' }),
    bytes: Type.Integer({ minimum: 0, description: 'Of the manifest itself.' }),
    artifact_type: Type.Optional(Type.String()),
    config: Type.Optional(DescriptorSchema),
    layers: Type.Array(DescriptorSchema, { description: 'Of an image, lowest first.' }),
    manifests: Type.Array(DescriptorSchema, { description: 'Of an index.' }),
    size: Type.Integer({ minimum: 0, description: 'Bytes of all that it names.' }),
    annotations: texts('As the manifest has them.'),
    labels: Type.Optional(
      texts("Of the image's configuration. Absent: it is not there, not an image's, or larger than is looked at."),
    ),
    subject: Type.Optional(Type.String({ description: 'The digest of the manifest that it is about.' })),
  },
  closed,
);
export type Manifest = Type.Static<typeof ManifestSchema>;

const SignatureSchema = Type.Object(
  {
    format: oneOf(
      ['cosign', 'bundle', 'notary'],
      "cosign: a payload of cosign's own; bundle: sigstore's; notary: made with a certificate, and never verified.",
    ),
    verified: Type.Boolean({ description: 'True: of this very digest, by a key of upstream.signatures.' }),
    key: Type.Optional(Type.String({ description: 'Where it is verified: the name of that key.' })),
    reference: Type.Optional(
      Type.String({ description: 'Where it is verified: REGISTRY/REPOSITORY that was signed, as the signer says.' }),
    ),
    annotations: Type.Optional(texts('Where it is verified: what was signed with the digest (cosign sign -a).')),
    index: Type.Optional(
      Type.String({ description: 'The digest that is signed, where it is of an index that names this.' }),
    ),
  },
  closed,
);
export type Signature = Type.Static<typeof SignatureSchema>;

export const RegistryOperationSchema = Type.Object(
  {
    operation: oneOf(
      ['pull', 'push', 'mount', 'delete', 'list'],
      'mount: a blob of another repository becomes one of this.',
    ),
    object: oneOf(['manifest', 'blob', 'tags', 'referrers'], 'What it is done to.'),
    step: Type.Optional(
      oneOf(['start', 'chunk', 'finish', 'whole', 'status', 'cancel'], 'Of an upload of a blob: which part of it.'),
    ),
    host: Type.String({ description: 'HOST:PORT of the upstream.' }),
    repository: Type.String({ description: 'Without the target.' }),
    tag: Type.Optional(Type.String({ description: 'Where the request names a tag.' })),
    digest: Type.Optional(
      Type.String({ description: 'Where the request names one, and of a manifest that is known.' }),
    ),
    from: Type.Optional(Type.String({ description: 'Of a mount: the repository that is read.' })),
    head: Type.Boolean({ description: 'True: only whether it is there, and how large it is.' }),
    bytes: Type.Optional(Type.Integer({ minimum: 0, description: 'Of the body, where the request says so.' })),
    manifest: Type.Optional(ManifestSchema),
    signature: Type.Optional(
      oneOf(
        ['none', 'present', 'verified'],
        'Of a manifest. present: there is one, by whomever; verified: one by a key of upstream.signatures.',
      ),
    ),
    signatures: Type.Optional(
      Type.Array(SignatureSchema, {
        description:
          'Of a manifest, where upstream.signatures names keys. At most 16 of its own, and 16 by way of indexes; those that count are verified.',
      }),
    ),
    inert: Type.Optional(
      Type.Boolean({
        description:
          'Of a manifest, where upstream.signatures names keys. True: it is itself a signature or an attestation, and nothing of it can be run.',
      }),
    ),
  },
  { ...closed, description: 'What only registries of images know.' },
);
export type RegistryOperation = Type.Static<typeof RegistryOperationSchema>;
