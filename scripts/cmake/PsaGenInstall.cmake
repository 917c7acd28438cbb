# What `cmake --install` puts where, and the package that find_package(psa-gen) reads. The headers
# listed here are the ones other programs may include; they include nothing but each other and the
# standard library.
include(CMakePackageConfigHelpers)

target_sources(psagen_kernels PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES
  kernels/backend.h
  kernels/c_api/psagen.h
  kernels/core/allocator.h
  kernels/core/context.h
  kernels/core/device.h
  kernels/core/device_runtime.h
  kernels/core/dtype.h
  kernels/core/error.h
  kernels/core/profile.h
  kernels/core/shape.h
  kernels/core/tensor.h
  kernels/core/tuning_store.h
  kernels/ops.h
  kernels/psa/psa_params.h
  kernels/psa/pyramid_sparse_attention.h
  kernels/psa/token_order.h)
target_sources(psagen_scheduler PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES
  scheduler/noise_schedule.h
  scheduler/solver.h
  scheduler/step_plan.h)
target_sources(psagen_engine PUBLIC FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES
  engine/config/attention_config.h
  engine/config/attention_override.h
  engine/config/model_config.h
  engine/media/frame.h
  engine/media/video_reader.h
  engine/media/video_writer.h
  engine/pipeline/initial_noise.h
  engine/pipeline/open_context.h
  engine/pipeline/progress.h
  engine/pipeline/text_to_video.h
  engine/pipeline/zone_times.h
  engine/text/tokenizer.h
  engine/vae/decode_split.h)

foreach(name kernels scheduler engine)
  set_target_properties(psagen_${name} PROPERTIES EXPORT_NAME ${name} VERIFY_INTERFACE_HEADER_SETS ON)
  install(TARGETS psagen_${name} EXPORT psa-gen-targets
    FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/psa-gen)
endforeach()
install(TARGETS psa-gen)

set(package ${CMAKE_INSTALL_LIBDIR}/cmake/psa-gen)
configure_package_config_file(scripts/cmake/psa-gen-config.cmake.in psa-gen-config.cmake
  INSTALL_DESTINATION ${package})
write_basic_package_version_file(psa-gen-config-version.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT psa-gen-targets NAMESPACE psagen:: DESTINATION ${package})
install(FILES
  ${PROJECT_BINARY_DIR}/psa-gen-config.cmake
  ${PROJECT_BINARY_DIR}/psa-gen-config-version.cmake
  scripts/cmake/PsaGenDependencies.cmake
  DESTINATION ${package})
