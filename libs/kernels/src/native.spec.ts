import { KERNEL_STATUS, KernelError } from './errors';
import { gpuLibrary, loadNative } from './native';

describe('finding the library', () => {
  const named = process.env['LOWRANK_KERNELS_LIB'];
  afterEach(() => {
    if (named === undefined) delete process.env['LOWRANK_KERNELS_LIB'];
    else process.env['LOWRANK_KERNELS_LIB'] = named;
  });

  it('says what is wrong with a path that was named', () => {
    process.env['LOWRANK_KERNELS_LIB'] = '/nonexistent/liblowrank_kernels.so';
    expect(loadNative).toThrow(KernelError);
    expect(loadNative).toThrow(/LOWRANK_KERNELS_LIB names \/nonexistent/);
  });

  it('takes a library that was named for that of the GPUs too', () => {
    process.env['LOWRANK_KERNELS_LIB'] = __filename;
    expect(gpuLibrary()).toBe(__filename);
    process.env['LOWRANK_KERNELS_LIB'] = '/nonexistent/liblowrank_kernels.so';
    expect(gpuLibrary()).toBeNull();
  });

  it('says what devices there are', () => {
    process.env['LOWRANK_DEVICE'] = 'gpu';
    try {
      expect(loadNative).toThrow(/LOWRANK_DEVICE is 'gpu'; it can be auto, cpu or cuda/);
      process.env['LOWRANK_DEVICE'] = 'cuda';
      expect(loadNative).toThrow(/LOWRANK_DEVICE is cuda, but/);
    } finally {
      delete process.env['LOWRANK_DEVICE'];
    }
  });
});

describe('KernelError', () => {
  it('carries the status, the call and a message even where the library gave none', () => {
    const error = new KernelError('io_error', '', 'lr_base_open');
    expect(error).toMatchObject({
      status: 'io_error',
      call: 'lr_base_open',
      message: 'lr_base_open: io_error',
    });
  });

  it('knows as many statuses as the header', () => {
    expect(KERNEL_STATUS).toHaveLength(10);
    expect(KERNEL_STATUS[7]).toBe('not_finite');
  });
});
