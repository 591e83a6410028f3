{
  'targets': [
    {
      'target_name': 'fuzzing',
      'sources': ['src/fuzzing.cc'],
      'include_dirs': ["<!@(node -p \"require('node-addon-api').include_dir\")"],
      'defines': ['NAPI_VERSION=8', 'NODE_ADDON_API_DISABLE_DEPRECATED', 'NAPI_DISABLE_CPP_EXCEPTIONS', '_GNU_SOURCE'],
      'cflags_cc': ['-std=c++17', '-O2', '-fvisibility=hidden', '-fno-exceptions', '-Wall', '-Wextra', '-Wno-unused-parameter'],
      'cflags_cc!': ['-fexceptions', '-std=gnu++17', '-std=gnu++20', '-O3'],
    },
  ],
}
